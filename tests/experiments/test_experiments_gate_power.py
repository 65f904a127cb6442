from __future__ import annotations

from typing import Any

from experiments import gate_power
from harness.spec import PROJECT
from harness.validation.faults import FAULTS


def record(verdict: str, **missed: str) -> dict[str, Any]:
    """A summary in which every fault was caught but those in `missed`, with their verdicts."""
    return {
        "verdict": verdict,
        "reasons": [],
        "noise_floor": 0.012,
        "drift": -0.02,
        "mape": 0.017,
        "selftest": [
            {"fault": fault, "verdict": missed.get(fault, "fail"), "caught": fault not in missed, "reasons": []}
            for fault in FAULTS
        ],
    }


def test_the_runs_are_those_of_ci_each_with_a_seed_of_its_own() -> None:
    ci = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert [argument for argument in gate_power.CI_VALIDATION if argument not in ci] == []
    cells = gate_power.plan(20, PROJECT / "outputs")
    assert len({cell.name for cell in cells}) == len({cell.override("seed") for cell in cells}) == 20
    assert all(set(gate_power.CI_VALIDATION) <= set(cell.overrides) for cell in cells)


def test_the_table_counts_verdicts_and_what_was_caught() -> None:
    records = [record("pass"), record("inconclusive"), record("pass", triton_queue_dropped="inconclusive")]
    lines = gate_power.table(records).splitlines()
    assert lines[0] == "| planted | runs | pass | inconclusive | fail | caught |"
    assert "| no fault | 3 | 2 | 1 | 0 | - |" in lines
    assert "| mbit_for_mbyte | 3 | 0 | 0 | 3 | 3 of 3 |" in lines
    assert "| triton_queue_dropped | 3 | 0 | 1 | 2 | 2 of 3 |" in lines
    assert lines[-1] == "MAPE 1.7 to 1.7 %; largest noise floor 1.2 %, largest |drift| 2.0 %."


def test_it_holds_where_nothing_good_was_rejected_and_nothing_planted_was_missed() -> None:
    assert gate_power.held([record("pass"), record("inconclusive")])
    assert not gate_power.held([record("pass"), record("fail")])
    assert not gate_power.held([record("pass", largest_edge_block_x10="pass")])
    assert not gate_power.held([])
