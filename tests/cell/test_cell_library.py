"""What the profile folder knows beyond a cell's own profiles."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness.cell.cache import tier_fingerprint
from harness.cell.evidence import circumstances_of
from harness.cell.library import features_path, keep_features, largest_payload_bytes, model_features, other_models
from harness.errors import SpecError
from harness.prediction.profile import ModelFeatures, TierProfile
from harness.prediction.profile_io import save
from harness.spec import PROJECT, Spec
from tests.prediction.synthetic_world import World

TIER = World(cuts=6).profiles().device


def spec(folder: Path, *overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", [f"profile.dir={folder}", *overrides]))


def kept(folder: Path, model: str, number: int = 0, **other: Any) -> TierProfile:
    own = tier_fingerprint(spec(folder, f"model={model}"), "device")
    profile = replace(TIER, fingerprint={**own, **other})
    save(folder / f"{model}-compiled-device-{number}.json", profile)
    return profile


def test_only_other_models_on_the_very_same_tier_are_found(tmp_path: Path) -> None:
    wanted = [kept(tmp_path, "vgg16"), kept(tmp_path, "resnet50", rounds=[1, 2, 3])]
    kept(tmp_path, "densenet169")  # the cell's own
    kept(tmp_path, "mobilenet", host="elsewhere")
    kept(tmp_path, "mobilenetv2", threads=2)
    kept(tmp_path, "xception", execution="eager")
    kept(tmp_path, "vgg19", versions={"tensorflow": "1.0"})
    kept(tmp_path, "resnet101", processor={"kind": "gpu", "name": "any"})
    kept(tmp_path, "resnet152", communicator="http_json")
    (tmp_path / "inception_v3-compiled-device-0.json").write_text("{")
    found = other_models(spec(tmp_path), "device")
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))
    assert other_models(spec(tmp_path), "edge") == []


def test_a_model_counts_once_with_its_newest_profile(tmp_path: Path) -> None:
    kept(tmp_path, "vgg16", 0, rounds=[1, 1, 1])
    newest = kept(tmp_path, "vgg16", 1, rounds=[2, 2, 2])
    assert other_models(spec(tmp_path), "device") == [newest]


DESCRIBED = {
    "cuts": [asdict(cut) for cut in TIER.cuts],
    "last": TIER.last,
    "input_shape": list(TIER.input_shape),
    "pictures": TIER.picture_bytes,
    "features": {
        "head_peak_bytes": list(TIER.head_peak_bytes),
        "blocks": [{kind: asdict(own) for kind, own in block.items()} for block in TIER.block_features],
    },
}


def test_features_are_kept_once_and_read_back(tmp_path: Path) -> None:
    keep_features(spec(tmp_path), DESCRIBED)
    path = features_path(spec(tmp_path))
    before = path.stat().st_mtime_ns
    keep_features(spec(tmp_path), {**DESCRIBED, "last": 10_000})
    assert path.stat().st_mtime_ns == before
    found = model_features(spec(tmp_path))
    assert (found.model, found.cuts, found.block_features) == ("densenet169", TIER.cuts, TIER.block_features)
    assert found.head_peak_bytes == TIER.head_peak_bytes
    assert features_path(spec(tmp_path, "model=vgg16")) != path


def test_a_link_is_judged_by_the_largest_tensor_that_is_known(tmp_path: Path) -> None:
    lossy = spec(tmp_path, "link.loss=5e-5")
    assert largest_payload_bytes(lossy) is None
    assert circumstances_of(lossy) is not None
    huge = [{**DESCRIBED["cuts"][0], "shape": [1000, 1000, 5]}, *DESCRIBED["cuts"][1:]]
    keep_features(lossy, {**DESCRIBED, "cuts": huge})
    assert largest_payload_bytes(lossy) == 20_000_000
    with pytest.raises(SpecError, match="losses in a request"):
        circumstances_of(lossy)
    assert circumstances_of(spec(tmp_path, "link.loss=5e-5", "mode=measure")) is None
    assert circumstances_of(spec(tmp_path)) is not None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"block_features": []}, "block_features"),
        ({"head_peak_bytes": [1]}, "head_peak_bytes"),
        ({"last": 2}, "ascend"),
        ({"schema_version": 1}, "reads 2"),
        ({"colour": "red"}, "colour"),
        ({"last": -1}, "last"),
        ({"picture_bytes": {}}, "picture_bytes"),
    ],
)
def test_a_broken_features_file_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    keep_features(spec(tmp_path), DESCRIBED)
    path = features_path(spec(tmp_path))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SpecError, match=word) as caught:
        model_features(spec(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow
def test_a_model_never_profiled_is_built_once_in_a_process_of_its_own(tmp_path: Path) -> None:
    cell = spec(tmp_path, "model=mobilenet")
    found = model_features(cell)
    assert isinstance(found, ModelFeatures)
    assert (len(found.cuts), len(found.block_features)) == (89, 90)
    assert found.last == found.cuts[-1].index + 1
    assert sum(own.macs for block in found.block_features for own in block.values()) == pytest.approx(569e6, rel=0.01)
    features_path(cell).touch()
    assert model_features(cell) == found
    impossible = spec(tmp_path, "model=mobilenet", "model.input_shape=[3,3,3]")
    with pytest.raises(SpecError) as caught:
        model_features(impossible)
    assert "\n" not in str(caught.value)
    assert "MobileNet" in str(caught.value)
