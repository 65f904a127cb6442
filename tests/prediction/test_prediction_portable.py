"""The exported file: its format is fixed by a golden file, and whatever is wrong with one is refused in one line."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction import predictors
from harness.prediction.candidates import enumerate_rows
from harness.prediction.portable import export_profiles, import_profiles
from harness.prediction.profile import Flag, Profiles
from harness.prediction.profile_io import save
from harness.transfer.encoding import Encoding
from tests.prediction.synthetic_world import LAYERS, World, make_link

#: Exported by profile version 2. A file of a version stays here for as long as that version is read.
GOLDEN = Path(__file__).parent / "golden" / "profiles-v2.json"
CONTENT = "DenseNet169-random0-0123456789abcdef"


def fingerprint(tier: str) -> dict[str, Any]:
    return {
        "model": "densenet169",
        "content": CONTENT,
        "tier": tier,
        "host": f"{tier}-board, A CPU, 4 cores, Linux 6.1",
        "threads": 1,
        "transfer_layers": sorted(LAYERS),
    }


def profiles() -> Profiles:
    made = World(cuts=5, seed=1).profiles()
    device, edge = (dataclasses.replace(own, fingerprint=fingerprint(own.tier)) for own in (made.device, made.edge))
    device = dataclasses.replace(device, flags=(Flag("block/1/4", "block/1/2", 0.25, 0.125),))
    both = {"device": device.fingerprint, "edge": edge.fingerprint, "slowdown": 10.0}
    return Profiles(device, edge, dataclasses.replace(made.calibration, fingerprint=both))


def read(path: Path) -> Profiles:
    return import_profiles(path, model="densenet169", content=CONTENT, encodings=LAYERS)


def refusal(path: Path, data: Any) -> str:
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(SpecError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "profile.export" in message
    return message


def predicted(own: Profiles) -> np.ndarray[Any, Any]:
    rows = enumerate_rows(own.device, encodings=[Encoding(name) for name in LAYERS], min_split=0)
    evidence = predictors.Evidence(own)
    tables = [predictors.fit(name, evidence).predict(make_link(10, 50), rows) for name in ("calibrated", "paper")]
    return np.concatenate([table.total_ms for table in tables])


def test_the_golden_file_is_read_and_written_alike(tmp_path: Path) -> None:
    own = read(GOLDEN)
    export_profiles(tmp_path / "new" / "out.json", own)
    assert (tmp_path / "new" / "out.json").read_text() == GOLDEN.read_text()
    assert own.device.fingerprint == fingerprint("device")
    assert own.device.flags == (Flag("block/1/4", "block/1/2", 0.25, 0.125),)
    assert own.edge.cuts[0].layer == "layer_0"
    assert set(own.calibration.echoes) == {1, 2_000, 60_000, 400_000}


def test_an_imported_profile_predicts_as_the_original_for_any_link(tmp_path: Path) -> None:
    export_profiles(tmp_path / "out.json", profiles())
    assert read(tmp_path / "out.json") == profiles()
    assert predicted(read(tmp_path / "out.json")).tolist() == predicted(profiles()).tolist()


def golden() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(GOLDEN.read_text())
    return data


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    content = GOLDEN.read_bytes().rstrip()
    assert "not JSON" in refusal(tmp_path / "cut.json", content[: int(share * len(content))])


def put(where: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        *parents, last = where.split(".")
        for step in parents:
            data = data[int(step) if isinstance(data, list) else step]
        data[int(last) if isinstance(data, list) else last] = value  # type: ignore[index]

    return change


REFUSED = {
    "another version": (put("schema_version", 1), ("schema_version 1", "reads 2")),
    "another version of a record": (put("edge.schema_version", 1), ("schema_version 1", "reads 2")),
    "an unknown key": (put("device.colour", "red"), ("device.colour",)),
    "an unknown key deep in it": (put("edge.cuts.0.colour", 1), ("edge.cuts.0.colour",)),
    "not a number": (put("device.block_ms.2", math.nan), ("device.block_ms.2", "finite")),
    "infinity": (put("calibration.other_ms", math.inf), ("calibration.other_ms", "finite")),
    "a negative time": (put("edge.block_ms.1", -1.0), ("edge.block_ms.1", "greater than or equal to 0")),
    "a negative anchor": (put("calibration.anchors.device-only.device", -2.0), ("anchors", "device")),
    "a text for a time": (put("device.call_ms", "3"), ("device.call_ms", "'3'")),
    "too many blocks": (put("device.block_ms", [1.0] * 7), ("7 entries in block_ms", "5 cuts")),
    "too few features": (put("edge.block_features", []), ("0 entries in block_features",)),
    "too few Scission blocks": (put("edge.scission_block_ms", [1.0]), ("1 entries in scission_block_ms",)),
    "a median outside its interval": (put("device.block_low_ms.0", 1e6), ("outside its interval",)),
    "tiers exchanged": (put("device.tier", "edge"), ("device", "edge")),
    "tiers of different models": (put("edge.fingerprint.model", "vgg16"), ("edge", "vgg16")),
    "another host than said": (put("hosts.edge", "elsewhere"), ("edge", "elsewhere")),
    "a calibration of another pair": (put("calibration.fingerprint.edge", {}), ("calibration", "edge")),
    "no anchor": (put("calibration.anchors", {}), ("anchors lack device-only",)),
    "no echo": (put("calibration.echoes", {}), ("echoes",)),
    "a candidate that is none": (put("edge.codec_ms.split/x", {}), ("split/x",)),
    "a codec missing": (put("edge.codec_ms", {}), ("codec_ms lacks edge-only/float32",)),
    "cuts in disorder": (put("device.cuts.0.index", 8), ("cuts do not ascend",)),
    "another format": (put("format", "profiles"), ("format",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, case: str) -> None:
    change, words = REFUSED[case]
    data = golden()
    change(data)
    message = refusal(tmp_path / "odd.json", data)
    for word in words:
        assert word in message


def test_a_profile_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"holds densenet169 \(.*\), not vgg16 \(VGG16-x\)"):
        import_profiles(GOLDEN, model="vgg16", content="VGG16-x", encodings=LAYERS)
    with pytest.raises(SpecError, match="no times of transfer_layer=wavelet"):
        import_profiles(GOLDEN, model="densenet169", content=CONTENT, encodings=("none", "wavelet"))
    with pytest.raises(SpecError, match="No such file"):
        read(tmp_path / "missing.json")
    save(tmp_path / "tier.json", profiles().device)
    with pytest.raises(SpecError, match="cannot be used"):
        read(tmp_path / "tier.json")


def test_profiles_of_different_pairs_are_not_exported(tmp_path: Path) -> None:
    own = profiles()
    other = dataclasses.replace(own.edge, fingerprint={**own.edge.fingerprint, "threads": 4})
    with pytest.raises(SpecError, match="cannot be exported: its calibration belongs to another edge"):
        export_profiles(tmp_path / "out.json", dataclasses.replace(own, edge=other))
    assert list(tmp_path.iterdir()) == []


# -- any mutation -----------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["", "device", "edge", "split/4/none/float32", "none", "0", "nan"]),
    st.builds(list),
    st.builds(dict),
)


def usable_or_one_line(path: Path) -> None:
    refused = None
    try:
        own = read(path)
    except SpecError as error:
        refused = str(error)
    if refused is None:
        assert np.isfinite(predicted(own)).all()
    else:
        assert "\n" not in refused


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every node below `value`."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for step, child in children:
        found += [(*path, step), *places(child, (*path, step))]
    return found


PLACES = places(golden() if GOLDEN.exists() else {})


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_mutation_gives_usable_profiles_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mutant = golden()
    for _ in range(data.draw(st.integers(1, 2))):
        *parents, last = data.draw(st.sampled_from(PLACES))
        node = mutant
        try:
            for step in parents:
                node = node[step]
            old = node[last]
        except (LookupError, TypeError):
            continue  # gone with the mutation before
        action = data.draw(st.sampled_from(["replace", "remove", "rename", "repeat", "scale"]))
        if action == "remove":
            del node[last]
        elif action == "rename" and isinstance(node, dict):
            node[data.draw(st.text(max_size=5))] = node.pop(last)
        elif action == "repeat" and isinstance(node, list):
            node.insert(last, copy.deepcopy(old))
        elif action == "scale" and isinstance(old, int | float):
            node[last] = old * data.draw(st.sampled_from([0, -1, 0.5, 1e3, 1e300]))
        else:
            node[last] = data.draw(scalars)
    path = tmp_path_factory.getbasetemp() / "mutant.json"
    path.write_text(json.dumps(mutant))
    usable_or_one_line(path)


def test_an_anchor_of_a_transfer_layer_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    for wrong in ("aaxpool", " axpool"):
        path = tmp_path / "damaged.json"
        path.write_bytes(GOLDEN.read_bytes().replace(b"/maxpool/", f"/{wrong}/".encode()))
        with pytest.raises(SpecError, match=wrong) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damaged_byte_gives_usable_profiles_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(GOLDEN.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(content)
    usable_or_one_line(path)


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match=r"^profile.export=.* cannot be written"):
        export_profiles(tmp_path / "file" / "out.json", profiles())
