"""mode=deploy and hardware.edge.endpoint=per_cut: what is found wrong before anything is started."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.cell import deploying
from harness.cell.cache import ProfileCache
from harness.errors import SpecError
from harness.preprocessor import manifest
from harness.preprocessor.manifest import Manifest, Tensor
from harness.results.schema import Key
from harness.spec import PROJECT, Spec
from tests.prediction.synthetic_world import World


def spec_of(*arguments: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", ["model=mobilenetv2", "hardware=local", *arguments]))


def refused(*arguments: str) -> str:
    with pytest.raises(SpecError) as caught:
        app.check(spec_of(*arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    folder = tmp_path / "deployment"
    model = folder / "triton" / "python" / "mobilenetv2_35_maxpool_float32" / "1"
    model.mkdir(parents=True)
    for path in (folder / "device.keras", folder / "edge.keras", model / "model.py"):
        path.write_text(path.name)
    shapes = {"input": (224, 224, 3), "cut": (28, 28, 32), "payload": (14, 14, 32), "output": (1000,)}
    manifest.write(
        folder,
        Manifest(
            model={
                "name": "mobilenetv2",
                "architecture": "MobileNetV2",
                "input_shape": [224, 224, 3],
                "preprocessing": "tf",
                "weights": "random, seed 0",
                "content": None,
            },
            candidate="split/35/maxpool/float32",
            layer="block_3_project_BN",
            tensors={name: Tensor((1, *shape), "float32") for name, shape in shapes.items()},
            payload_bytes=25088,
            triton_model=model.parent.name,
            onnx={"omitted_because": "not asked for"},
            reload_error=0.0,
            accuracy=None,
            versions={},
        ),
    )
    return folder


def per_cut(folder: Path | str, *arguments: str) -> list[str]:
    return ["hardware.edge.endpoint=per_cut", f"hardware.edge.deployment={folder}", *arguments]


def test_a_deployment_of_the_cells_model_is_accepted(deployment: Path) -> None:
    app.check(spec_of(*per_cut(deployment, "mode=measure")))


def test_what_does_not_fit_together_is_one_line_that_says_what_to_do(deployment: Path, tmp_path: Path) -> None:
    assert "allowed: mode=measure" in refused(*per_cut(deployment))
    assert "give the folder of a mode=deploy run" in refused(*per_cut("null", "mode=measure"))
    assert "no manifest.json there" in refused(*per_cut(tmp_path, "mode=measure"))
    assert "hardware.edge.endpoint=per_cut alone" in refused(f"hardware.edge.deployment={deployment}")
    assert "add model=mobilenetv2" in refused(*per_cut(deployment, "mode=measure", "model.input_shape=[96,96,3]"))
    (deployment / "edge.keras").write_text("another")
    assert "edge.keras is not the file" in refused(*per_cut(deployment, "mode=measure"))


def test_what_cannot_be_deployed_is_one_line(tmp_path: Path) -> None:
    nowhere = f"profile.dir={tmp_path}"
    assert "mode=profile model=mobilenetv2 hardware=local" in refused("mode=deploy", nowhere)
    given = ("mode=deploy", "split=35", nowhere)
    app.check(spec_of(*given))
    assert "no file at" in refused(*given, f"deploy.trained={tmp_path / 'no.keras'}")
    assert "no tl_model.keras in" in refused(*given, f"deploy.trained={tmp_path}")
    assert "no file at" in refused(*given, f"model.weights={tmp_path / 'no.weights.h5'}")


def test_without_a_cut_the_best_predicted_one_is_deployed(tmp_path: Path) -> None:
    given = ("mode=deploy", f"profile.dir={tmp_path}", "constraints.min_split=0")
    cache = ProfileCache(spec_of(*given))
    made = World().profiles()
    cache.keep(
        *(replace(own, fingerprint=cache.fingerprints[own.tier]) for own in (made.device, made.edge)),
        replace(made.calibration, fingerprint=cache.calibration_fingerprint),
    )
    key = deploying.candidate(spec_of(*given))
    assert key == Key("split", key.split, "maxpool", "float32")
    assert key.split in {cut.index for cut in made.device.cuts}
    app.check(spec_of(*given))


def test_a_tlmodel_is_deployed_as_what_it_was_trained_as(tmp_path: Path) -> None:
    (tmp_path / "tl_model.keras").write_bytes(b"")
    record = {"split": 35, "transfer_layer": "maxpool", "wire_format": "uint8", "input_shape": [224, 224, 3]}
    (tmp_path / "accuracy.json").write_text(json.dumps(record))
    given = ("mode=deploy", "split=35", f"profile.dir={tmp_path}", f"deploy.trained={tmp_path}")
    assert "trained with wire_format=uint8, given is wire_format=float32" in refused(*given)
    app.check(spec_of(*given, "wire_format=uint8"))
    forced = ("wire_format=uint8", "wire_format.entropy=jpeg", "wire_format.force=true")  # on top of what was trained
    app.check(spec_of(*given, *forced))
    assert "transfer_layer=maxpool, given is transfer_layer=avgpool" in refused(*given, "transfer_layer=avgpool")
    assert "trained with split=35, given is split=36" in refused(
        *given[:1], "split=36", *given[2:], "wire_format=uint8"
    )
    other = refused(*given, "wire_format=uint8", "model.input_shape=[96,96,3]")
    assert "trained with model.input_shape=[224, 224, 3]" in other
