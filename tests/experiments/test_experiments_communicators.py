"""The table of the communicators, from records without a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import communicators
from harness.results.records import CellWriter
from harness.results.schema import Row


def test_the_plan_compares_all_three_on_both_pairs() -> None:
    cells = communicators.plan()
    assert len({cell.name for cell in cells}) == 6
    for cell in cells:
        assert cell.override("measure.splits") == "[51,139]"
        assert (cell.override("bandwidth"), cell.override("latency")) == ("57", "28")


def test_a_row_has_the_terms_that_differ_and_the_table_says_them(tmp_path: Path) -> None:
    rows = [
        Row(
            key,
            payload_bytes=size,
            measured_ms=100.0,
            predicted_ms=101.0,
            error=0.01,
            measured_terms={"serialize": 7.25},
        )
        for key, size in zip(communicators.CANDIDATES, (1_960_000, 490_000), strict=True)
    ]
    with CellWriter(tmp_path) as writer:
        writer.splits(rows)
        writer.summary({"mape": 0.012, "noise_floor": 0.01, "verdict": "pass"})
    cell = communicators.plan(("local",))[2]
    found = communicators.row(cell, tmp_path)
    assert found["communicator"] == "http_json"
    assert found["candidates"]["split/51/none/float32"]["payload_bytes"] == 1_960_000
    text = communicators.table([found])
    assert "| local | none | http_json | 1960000 | 7.25 |" in text
    assert "| 100.0 | 101.0 | +1.0 | 1.2 (1.0) | pass |" in text
    assert communicators.document([found], ["a host"]).count("|") == text.count("|")


def test_a_wrong_call_ends_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        communicators.main(["--wrong"])
    assert caught.value.code == 2
