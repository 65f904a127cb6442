"""The table of Table 1's sweeps: what the cells came to, and the claims that they answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import table1
from harness.results.records import CellWriter
from harness.results.schema import Key, Row


def cell(folder: Path, rows: list[Row]) -> None:
    off = {"device": {"off_ms": {"p95": 0.01}}}
    sweep, hardware = folder.parent.name, folder.name
    model = "resnet101" if sweep.endswith("resnet101") else "densenet169"
    with CellWriter(folder) as writer:
        writer.splits(rows)
        writer.summary({"mape": 0.01, "forecast_mape": 0.01, "paper_mape": 0.02, "replay": off, "verdict": "pass"})
    (folder / "status.json").write_text(json.dumps({"status": "ok"}))
    (folder / "spec.yaml").write_text(json.dumps({"model": {"name": model}, "hardware": {"name": hardware}}))


def row(key: Key, ms: float) -> Row:
    return Row(key, paper_ms=ms, predicted_ms=ms, measured_ms=ms)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cell(tmp_path / "table1" / "cpu_device", [row(Key("device-only"), 1600.0)])
    cell(tmp_path / "table1" / "gpu_device", [row(Key("device-only"), 300.0)])
    times = {
        (5, "maxpool"): 150.0,
        (5, "none"): 400.0,
        (51, "maxpool"): 120.0,
        (51, "none"): 300.0,
        (139, "none"): 250.0,
    }
    rows = [row(Key("split", split, layer), ms) for (split, layer), ms in times.items()]
    cell(tmp_path / "table1" / "gpu_device-gpu_edge", [*rows, row(Key("split", 1, "maxpool"), 100.0)])
    return tmp_path


def test_the_claims_of_figures_4_to_6_are_answered_or_say_what_is_missing(folder: Path) -> None:
    found = {outcome.claim.id: outcome for outcome in table1.outcomes(folder)}
    assert found["fig4-cpu"].found["measured"] == (16.0, "cut 1")
    assert found["fig4-cpu"].carried == "yes (measured)"
    assert found["fig4-gpu-densenet169"].carried == "no (measured)"
    gain = found["fig5-gpu_device-gpu_edge-cut"]
    assert gain.found["predicted"] == (pytest.approx(400 / 150), "cut 5")
    assert found["fig5-gpu_device-gpu_edge-best"].found["measured"] == (2.5, "cut 139 / cut 1")
    missing = found["fig5-cpu_device-cpu_edge-cut"]
    assert (missing.found, missing.comparable) == ({}, "no")
    assert missing.because == "not run: experiment=fig5, model densenet169, hardware cpu_device-cpu_edge"
    assert [found[name].carried for name in ("cut51", "cut139")] == ["yes (measured)", "yes (measured)"]


def test_the_report_is_written_from_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table1.main(["--table", "--folder", str(folder)]) == 1  # not every cell is there
    text = (folder / "table1.md").read_text()
    assert "| table1 | gpu_device-gpu_edge | – | 100.0 (1) | 250.0 (139) | 1.0 |" in text
    assert text.strip() in capsys.readouterr().out


def test_without_recordings_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        table1.main(["--profiles", str(tmp_path / "none"), "--folder", str(tmp_path)])
    assert "no such folder" in capsys.readouterr().err
