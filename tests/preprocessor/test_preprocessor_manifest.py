"""A deployment's manifest: written whole, read back the same, and suspicious of everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.preprocessor import manifest
from harness.preprocessor.manifest import MANIFEST, Manifest, Tensor
from harness.results.schema import SCHEMA_VERSION, Key

MODEL = {
    "name": "mobilenetv2",
    "architecture": "MobileNetV2",
    "input_shape": [224, 224, 3],
    "preprocessing": "tf",
    "weights": "random, seed 0",
    "content": "MobileNetV2-random0-0123456789abcdef",
}
TENSORS = {
    "input": Tensor((1, 224, 224, 3), "float32"),
    "cut": Tensor((1, 28, 28, 32), "float32"),
    "payload": Tensor((1, 14, 14, 32), "float32"),
    "output": Tensor((1, 1000), "float32"),
}


def example(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "model": MODEL,
        "candidate": "split/35/maxpool/float32",
        "layer": "block_3_add",
        "tensors": TENSORS,
        "payload_bytes": 25088,
        "triton_model": "mobilenetv2_35_maxpool_float32",
        "onnx": {"omitted_because": "not asked for"},
        "reload_error": 0.0,
        "accuracy": None,
        "versions": {"keras": "3.15.1"},
    }
    return Manifest(**(values | changes))


def lay_out(folder: Path, **changes: Any) -> Manifest:
    version = folder / "triton" / "python" / "mobilenetv2_35_maxpool_float32" / "1"
    version.mkdir(parents=True)
    for path in (folder / "device.keras", folder / "edge.keras", version / "model.py", version / "edge.keras"):
        path.write_bytes(path.name.encode() * 100)
    (folder / "spec.yaml").write_text("of the cell, not of the deployment")
    return manifest.write(folder, example(**changes))


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads((folder / MANIFEST).read_text())
    change(record)
    (folder / MANIFEST).write_text(json.dumps(record))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = lay_out(tmp_path)
    found = manifest.load(tmp_path)
    assert found.manifest == written
    assert found.manifest.key == Key("split", 35, "maxpool", "float32")
    assert found.manifest.input_shape == (224, 224, 3)
    assert found.repository == tmp_path / "triton" / "python"
    record = json.loads((tmp_path / MANIFEST).read_text())
    assert (record["schema_version"], record["manifest_version"]) == (SCHEMA_VERSION, 1)
    assert record["files"].keys() == {
        "device.keras",
        "edge.keras",
        "triton/python/mobilenetv2_35_maxpool_float32/1/model.py",
        "triton/python/mobilenetv2_35_maxpool_float32/1/edge.keras",
    }


def test_what_the_cell_writes_beside_it_does_not_matter(tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / "status.json").write_text("{}")
    (tmp_path / "spec.yaml").write_text("changed")
    manifest.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["device.keras", "edge.keras", "triton/python/mobilenetv2_35_maxpool_float32/1/model.py"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, name: str, damage: str) -> None:
    lay_out(tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[:-1] if damage == "cut" else content)
    if damage == "remove":
        path.unlink()
    with pytest.raises(SpecError, match=f"{name} is (not the file|missing)") as caught:
        manifest.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert "mode=deploy" in str(caught.value)


def test_a_file_that_a_server_would_run_but_the_manifest_does_not_know_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / "triton" / "python" / "other").mkdir()
    (tmp_path / "triton" / "python" / "other" / "model.py").write_text("import os")
    with pytest.raises(SpecError, match=r"other/model\.py is not in its manifest"):
        manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record.update(kind="something"), "no manifest of a deployment"),
        (lambda record: record.update(manifest_version=99), "manifest_version 99; this version reads 1"),
        (lambda record: record.pop("tensors"), "damaged"),
        (lambda record: record["tensors"].pop("payload"), "damaged"),
        (lambda record: record.update(candidate="device-only"), "damaged"),
        (lambda record: record.update(candidate="nonsense"), "damaged"),
        (lambda record: record["model"].update(input_shape=[224]), "damaged"),
        (lambda record: record["files"].update({"../x": {"sha256": "", "bytes": 0}}), "outside the folder"),
        (lambda record: record["files"].update({"/etc/passwd": {"sha256": "", "bytes": 0}}), "outside the folder"),
        (lambda record: record["files"].update({"device.keras": {}}), "has no hash"),
        (lambda record: record["files"].pop("edge.keras"), "not among its files"),
    ],
)
def test_a_foreign_or_damaged_manifest_is_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    lay_out(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(SpecError, match=reason) as caught:
        manifest.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_one_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no manifest\.json there; give the folder of a mode=deploy run"):
        manifest.load(tmp_path)
    with pytest.raises(SpecError, match=r"no manifest\.json there"):
        manifest.load(tmp_path / "missing")


@settings(deadline=None, max_examples=100)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
            lambda value: json.dumps(value).encode()
        ),
    )
)
def test_whatever_lies_there_the_answer_is_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(SpecError) as caught:
        manifest.load(folder)
    assert "\n" not in str(caught.value)


def test_what_a_server_compiled_that_ran_it_in_place_does_not_matter(tmp_path: Path) -> None:
    lay_out(tmp_path)
    cache = tmp_path / "triton" / "python" / "mobilenetv2_35_maxpool_float32" / "1" / "__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"compiled")
    manifest.load(tmp_path)
