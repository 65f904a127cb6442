"""Cells that nobody recorded, in a sweep over models and pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.errors import SpecError
from harness.results.records import read_splits
from harness.spec import PROJECT, Spec
from tests.prediction.recordings import toy_folder


def spec(folder: Path, *overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", [f"hardware.profiles={folder}", "model=vgg16", *overrides]))


def test_it_is_refused_unless_the_spec_lets_it_be_left_out(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path)
    with pytest.raises(SpecError, match="nobody recorded vgg19 on tx2_gpu"):
        app.check(spec(folder, "hardware=gpu_device-gpu_edge", "model=vgg19"))
    app.check(spec(folder, "hardware=gpu_device-gpu_edge", "model=vgg19", "hardware.unrecorded=leave_out"))


def test_it_ends_at_once_with_a_row_that_says_why(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "recordings")
    own = spec(folder, "mode=measure", "hardware=gpu_device-gpu_edge", "model=vgg19", "hardware.unrecorded=leave_out")
    assert app.run_cell(own, tmp_path / "cell") == 0
    (row,) = read_splits(tmp_path / "cell")
    assert (row.feasible, row.infeasible_because) == (False, "nobody recorded vgg19 on tx2_gpu")
    summary = json.loads((tmp_path / "cell" / "summary.json").read_text())
    assert summary["left_out"] == "nobody recorded vgg19 on tx2_gpu"


def test_a_wrong_folder_is_refused_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no folder"):
        app.check(spec(tmp_path / "nowhere", "hardware=gpu_device-gpu_edge", "hardware.unrecorded=leave_out"))
