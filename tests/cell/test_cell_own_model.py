"""A model and a transfer layer of the user's own, by the command line alone: profiled, ranked, measured, reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.records import read_splits
from harness.results.schema import Key
from harness.spec import PROJECT
from netem import CapabilityError, choose_backend

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton, pytest.mark.slow]

OWN = ("model=own", "model.name=two_branches", "model.input_shape=[97,131,3]", "constraints.min_split=0")
SHORT = (
    "hardware.device.slowdown=2",
    "measure.samples=3",
    "measure.spread=3",
    "measure.warmup=1",
    "profile.rounds=3",
    "profile.warmup=1",
    "gate.enabled=false",
)


def run(folder: Path, *arguments: str) -> Path:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    typed = [*arguments, *OWN, *SHORT, f"hydra.run.dir={folder}", f"profile.dir={folder.parent / 'profiles'}"]
    done = subprocess.run(
        [sys.executable, "run.py", *typed], cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_a_file_is_profiled_ranked_measured_and_reported(tmp_path: Path) -> None:
    make = (
        "import runpy, sys; runpy.run_path(sys.argv[1])['build']().save(sys.argv[2])",
        str(PROJECT / "docs" / "examples" / "two_branches.py"),
        str(tmp_path / "net.keras"),
    )
    subprocess.run([sys.executable, "-c", *make], check=True, capture_output=True, timeout=120)
    file = f"model.file={tmp_path / 'net.keras'}"
    cell = run(tmp_path / "cell", file)
    rows = {row.key: row for row in read_splits(cell)}
    measured = {key for key, row in rows.items() if row.measured_ms is not None}
    assert Key("device-only") in measured
    assert {key.transfer_layer for key in measured if key.split is not None} == {"none", "maxpool"}
    assert all(rows[key].predicted_ms is not None for key in measured)
    assert "two_branches" in (cell / "report.html").read_text()
    assert (cell / "link.txt").read_text().startswith("ip -n ")
    summary = json.loads((cell / "summary.json").read_text())
    assert summary["best_measured"]
    assert [path.name for path in (tmp_path / "profiles").glob("two_branches-compiled-device-*.json")] != []

    again = run(tmp_path / "again", file, "mode=predict", "bandwidth=5")
    assert {row.key for row in read_splits(again)} == set(rows)


def test_a_function_and_a_transfer_layer_from_outside_are_measured(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_bytes((PROJECT / "docs" / "examples" / "two_branches.py").read_bytes())
    (tmp_path / "layers.py").write_bytes((PROJECT / "docs" / "examples" / "subsample.py").read_bytes())
    group = tmp_path / "conf" / "transfer_layer"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text(f"name: subsample\nsource: {tmp_path / 'layers.py'}\nparameters: {{stride: 3}}\n")
    cell = run(
        tmp_path / "cell",
        f"--config-dir={tmp_path / 'conf'}",
        f"model.factory={tmp_path / 'nets.py'}:build",
        "transfer_layer=mine",
        "measure.transfer_layers=[subsample,none]",
    )
    measured = {row.key.transfer_layer for row in read_splits(cell) if row.measured_ms is not None and row.key.split}
    assert measured >= {"subsample:stride=3", "none"}  # and maxpool where it is predicted to be best
