"""The table of the paper's claims: what the data carry, what they do not, and what nobody recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import table1
from harness.results.records import CellWriter
from harness.results.schema import Key, Row


def cell(folder: Path, rows: list[Row]) -> None:
    off = {"device": {"off_ms": {"p95": 0.01}}}
    with CellWriter(folder) as writer:
        writer.splits(rows)
        writer.summary({"mape": 0.01, "forecast_mape": 0.01, "paper_mape": 0.02, "replay": off, "verdict": "pass"})
    (folder / "status.json").write_text(json.dumps({"status": "ok"}))


def row(key: Key, ms: float) -> Row:
    return Row(key, paper_ms=ms, predicted_ms=ms, measured_ms=ms)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cell(tmp_path / "densenet169" / "cpu_device", [row(Key("device-only"), 1600.0)])
    cell(tmp_path / "densenet169" / "gpu_device", [row(Key("device-only"), 300.0)])
    times = {
        (5, "maxpool"): 150.0,
        (5, "none"): 400.0,
        (51, "maxpool"): 120.0,
        (51, "none"): 300.0,
        (139, "none"): 250.0,
    }
    rows = [row(Key("split", split, layer), ms) for (split, layer), ms in times.items()]
    cell(tmp_path / "densenet169" / "gpu_device-gpu_edge", [*rows, row(Key("split", 1, "maxpool"), 100.0)])
    return tmp_path


def test_a_claim_is_carried_or_the_table_says_how_far_it_is(folder: Path) -> None:
    found = {claim.text: claim for claim in table1.claims(table1.Cells(folder))}
    against_cpu = found["Fig. 4: GPU-GPU against cpu_device, up to (DenseNet169, eager edge)"]
    assert against_cpu.found["measured"] == (16.0, "cut 1")
    assert against_cpu.verdict(exact=False) == "yes"
    against_gpu = found["Fig. 4: GPU-GPU against gpu_device, up to (DenseNet169, eager edge)"]
    assert against_gpu.verdict(exact=False) == "no: 3.00 at most"
    gain = found["Fig. 5: gpu_device-gpu_edge, up to, at one cut"]
    assert gain.found["calibrated"] == (pytest.approx(400 / 150), "cut 5")
    assert found["Fig. 5: gpu_device-gpu_edge, best against best"].found["measured"] == (2.5, "139 / 1")
    assert found["Fig. 5: cpu_device-cpu_edge, up to, at one cut"].verdict(exact=False) == "not run"
    assert found["Fig. 6: cpu_device-gpu_edge, up to, at one cut"].verdict(exact=False) == "not recorded: TX2 CPU"


def test_the_best_cuts_must_be_the_paper_s_own(folder: Path) -> None:
    cuts = table1.cut_claims(table1.Cells(folder))
    assert [claim.found["measured"][0] for claim in cuts] == [51, 139]
    assert [claim.verdict(exact=True) for claim in cuts] == ["yes", "yes"]


def test_the_report_is_written_from_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table1.main(["--table", "--folder", str(folder)]) == 1  # not every cell is there
    text = (folder / "table1.md").read_text()
    assert "| densenet169 | gpu_device-gpu_edge | – | 100.0 (1) | 250.0 (139) | 1.0 |" in text
    assert text.strip() in capsys.readouterr().out


def test_without_recordings_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        table1.main(["--profiles", str(tmp_path / "none"), "--folder", str(tmp_path)])
    assert "no such folder" in capsys.readouterr().err
