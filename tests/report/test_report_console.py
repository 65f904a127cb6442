from __future__ import annotations

import io

from harness.report.console import print_final, print_forecast, summary_lines
from harness.results.schema import Key, Row
from tests.validation.synthetic_cell import make_cell


def test_the_forecast_shows_the_baselines_and_the_best_not_every_row() -> None:
    cell = make_cell(samples=0)
    out = io.StringIO()
    print_forecast(cell.rows, min_split=5, title="densenet169", file=out)
    text = out.getvalue()
    assert "\x1b" not in text
    assert all(name in text for name in ("device-only", "edge-only uint8", "edge-only jpeg", "(ms)", "(kB)"))
    assert "split 1 maxpool" in text
    assert "maxpool no. 1 from cut 5 on" in text
    assert text.count("split ") < len(cell.rows) / 2
    assert max(map(len, text.splitlines())) <= 100


def test_the_final_table_fits_and_cuts_nothing_off() -> None:
    cell = make_cell(device_ms=9000.0)
    measured = [row for row in cell.rows if row.measured_ms is not None]
    measured += [Row(Key("split", 999, "maxpool"), predicted_ms=1.0)]
    out = io.StringIO()
    print_final(measured, cell.summary | {"verdict": "fail", "reasons": ["[red]mape[/red] is 20 %"]}, file=out)
    text = out.getvalue()
    table = text[: text.index("MAPE")]
    assert "…" not in table
    assert "split 999" not in text
    assert "best split" in table or "best, predicted" in table
    assert max(map(len, table.splitlines()[:-2])) <= 100
    assert "Fail: the gate found an error\n  [red]mape[/red] is 20 %" in text


def test_a_summary_of_nothing_has_few_words() -> None:
    assert summary_lines({})[-1] == "No verdict"


def test_the_self_test_of_the_gate_is_counted_and_each_fault_says_what_gave_it_away() -> None:
    results = [
        {"fault": "triton_queue_dropped", "verdict": "fail", "caught": True, "reasons": ["queue is 0.40 ms", "more"]},
        {"fault": "mbit_for_mbyte", "verdict": "pass", "caught": False, "reasons": []},
    ]
    lines = summary_lines({"verdict": "fail", "reasons": ["self-test: missed"], "selftest": results})
    assert lines[-3:] == [
        "Self-test of the gate: 1 of 2 planted faults turned it red",
        "  triton_queue_dropped: fail: queue is 0.40 ms",
        "  mbit_for_mbyte: pass",
    ]
