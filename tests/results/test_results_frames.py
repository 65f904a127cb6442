"""Results as a pandas frame."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import harness
from harness.errors import SpecError
from harness.results.schema import COLUMNS, SWEEP_COLUMNS
from tests.report.test_report_sweep import write_cell


def test_a_sweep_a_cell_and_any_set_are_one_tidy_table(tmp_path: Path) -> None:
    write_cell(tmp_path / "a" / "0", bandwidth=30, seed=0)
    write_cell(tmp_path / "a" / "1", bandwidth=60, seed=1)
    write_cell(tmp_path / "b" / "0", status="failed", verdict=None, exit_code=1, error="the edge died")
    frame = harness.load(tmp_path / "a", tmp_path / "a" / "1", str(tmp_path / "b"))
    assert list(frame.columns) == ["cell", *SWEEP_COLUMNS, "sweep.seed", *COLUMNS]
    assert len(frame) == 4
    assert list(frame.bandwidth_mbps) == [30, 30, 60, 60]
    assert frame.measured_ms.mean() == 900
    assert list(frame[frame.candidate == "split"].split) == [51, 51]
    assert frame[frame.candidate == "device-only"].split.isna().all()
    assert [(each["status"], each["error"]) for each in frame.attrs["cells"]] == [
        ("ok", ""),
        ("ok", ""),
        ("failed", "the edge died"),
    ]
    assert len(harness.load(tmp_path / "a" / "0")) == 2


def test_what_is_no_result_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such folder"):
        harness.load(tmp_path / "missing")
    with pytest.raises(SpecError, match="no cell"):
        harness.load(tmp_path)


def test_without_pandas_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"scissionlite-harness\[pandas\]"):
        harness.load(tmp_path)
