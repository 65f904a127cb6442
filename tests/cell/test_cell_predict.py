"""`mode=predict` after a real cell: from its profiles alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.results.records import read_splits
from harness.spec import PROJECT
from tests.cell.test_cell_real import RATE_MBPS
from tests.runs import Finished, Host

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]


def predict(host: Host, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    python, *rest = host.command(folder, "mode=predict", *arguments)
    return subprocess.run(
        [python, "-X", "importtime", *rest], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )


def test_predict_ranks_anew_without_tensorflow(cell: Finished, host: Host, tmp_path: Path) -> None:
    done = predict(host, tmp_path / "slow", "bandwidth=10")
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "harness.cell" in imported
    assert not {name for name in imported if name.split(".")[0] in ("tensorflow", "keras")}
    slow = {row.key: row for row in read_splits(tmp_path / "slow")}
    fast = {row.key: row for row in read_splits(cell.folder)}
    assert slow.keys() == fast.keys()
    for key, row in slow.items():
        assert row.predicted_ms == row.forecast_ms
        assert row.measured_ms is None
        if row.payload_bytes:
            assert row.forecast_ms > fast[key].forecast_ms
            assert row.predicted_terms["edge"] == slow[key].predicted_terms["edge"]
    assert json.loads((tmp_path / "slow" / "summary.json").read_text())["verdict"] is None
    assert "Forecast: mobilenetv2 on iiot" in done.stdout


def test_the_forecast_of_the_same_link_is_the_same(cell: Finished, host: Host, tmp_path: Path) -> None:
    done = predict(host, tmp_path / "same", f"bandwidth={RATE_MBPS:g}")
    assert done.returncode == 0, done.stderr[-2000:]
    again = {row.key: row.forecast_ms for row in read_splits(tmp_path / "same")}
    assert again == {row.key: row.forecast_ms for row in read_splits(cell.folder)}


def test_predict_without_a_profile_is_the_spec_s_fault(host: Host, tmp_path: Path) -> None:
    done = predict(host, tmp_path / "none", f"profile.dir={tmp_path / 'empty'}")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "mode=profile" in line
    assert not (tmp_path / "empty").exists()
