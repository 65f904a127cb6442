"""The gate on what was really measured (`experiments/main_job`): it lets the prediction pass and sees every fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.cell.verdict import Findings, find
from harness.prediction.circumstances import Circumstances
from harness.results.schema import TERMS
from harness.validation import faults
from harness.validation.gate import FAIL, INCONCLUSIVE, PASS
from netem.impairments import Impairments
from netem.variability import TracePoints
from tests.validation.recorded_cell import RecordedCell, load

#: What each fault shows in, at least.
SHOWS = {
    "mbit_for_mbyte": {"uplink", "network"},
    "one_way_for_round_trip": {"uplink", "downlink", "network"},
    "headers_and_fixed_costs_dropped": {"uplink", "downlink"},
    "triton_queue_dropped": {"queue"},
    "largest_device_block_x10": {"device", "mape"},
    "largest_edge_block_x10": {"edge"},
}


@pytest.fixture(scope="module")
def cell() -> RecordedCell:
    """With the noise that a shared machine has: its drift alone is 2.2 %."""
    return load(selftest="true", max_noise=0.05)


@pytest.fixture(scope="module")
def findings(cell: RecordedCell) -> Findings:
    return find(cell.case, cell.summary)


def test_the_recorded_prediction_passes(findings: Findings) -> None:
    assert findings.summary["verdict"] == PASS
    assert findings.summary["reasons"] == []


def test_a_trace_is_attributed_but_not_judged(cell: RecordedCell) -> None:
    link = cell.case.link
    steps = np.array([1.0, 2.0])
    trace = TracePoints(steps, link.rate_up_mbps * np.array([0.5, 1.25]), link.delay_up_ms * np.ones(2), 0 * steps)
    found = find(replace(cell.case, circumstances=Circumstances(trace=trace)), cell.summary)
    assert found.verdict is None
    assert found.summary["verdict"] is None
    (reason,) = found.summary["reasons"]
    assert "trace" in reason
    assert found.errors


def test_what_no_formula_foresees_is_measured_to_the_end(cell: RecordedCell) -> None:
    spec = cell.case.spec.model_copy(update={"mode": "measure"})
    link = replace(cell.case.link, impairments_up=Impairments(jitter_ms=1.0, reorder=0.1))
    found = find(replace(cell.case, spec=spec, link=link, circumstances=None), cell.summary)
    assert found.verdict is None
    assert found.errors
    off = found.summary["link"]["emulation_error"]
    assert off["rate_up"] == pytest.approx(0, abs=0.03)
    assert off["effect_ms"] is off["explains"] is None


def test_every_planted_fault_turns_the_gate_red(findings: Findings) -> None:
    assert findings.verdict == PASS
    results = findings.summary["selftest"]
    assert [each["fault"] for each in results] == list(faults.FAULTS) == list(SHOWS)
    for each in results:
        assert (each["verdict"], each["caught"]) == (FAIL, True), each
        failed = {reason.split(" is ")[0] for reason in each["reasons"]}
        assert SHOWS[each["fault"]] <= failed, each
        assert any("responsible: " in reason for reason in each["reasons"])


def test_a_fault_is_planted_in_the_prediction_alone(cell: RecordedCell, findings: Findings) -> None:
    before = [(row.predicted_ms, dict(row.predicted_terms), row.measured_ms) for row in cell.case.rows]
    find(cell.case, cell.summary)
    assert before == [(row.predicted_ms, dict(row.predicted_terms), row.measured_ms) for row in cell.case.rows]


@pytest.mark.parametrize("fault", faults.FAULTS.values(), ids=faults.FAULTS)
def test_a_planted_total_is_still_the_sum_of_its_terms(
    cell: RecordedCell, fault: Callable[[faults.Setting], faults.Planted]
) -> None:
    planted = fault(cell.setting)
    clean = cell.case.predict(cell.case.evidence, cell.case.link)
    assert set(planted.predictions) == set(clean)
    differing = 0
    for key, own in planted.predictions.items():
        other = clean[key].total_ms - sum(clean[key].terms.values())
        dropped = 0.0 if fault is faults.headers_and_fixed_costs_dropped else other
        assert own.total_ms == pytest.approx(sum(own.terms.values()) + dropped)
        assert set(own.terms) <= set(TERMS)
        differing += own.total_ms != clean[key].total_ms
    assert differing > 0


def test_a_gate_that_is_red_already_catches_nothing(cell: RecordedCell) -> None:
    """Else a self-test would vouch for a gate whose every verdict is the same."""
    doubled = [
        replace(row, predicted_ms=row.predicted_ms * 2) if row.predicted_ms is not None else row
        for row in cell.case.rows
    ]
    found = find(replace(cell.case, rows=doubled), cell.summary)
    assert found.verdict == FAIL
    assert not any(each["caught"] for each in found.summary["selftest"])
    assert found.summary["reasons"][-1] == "self-test: the gate is red without any fault, so no fault can turn it red"


def test_a_gate_that_does_not_look_misses_the_fault_and_says_so(cell: RecordedCell) -> None:
    loose = load(**{"selftest": "true", "max_noise": 0.05, "terms.queue.share": None})
    found = find(loose.case, loose.summary)
    assert found.verdict == FAIL
    assert {each["fault"] for each in found.summary["selftest"] if not each["caught"]} == {"triton_queue_dropped"}
    assert found.summary["verdict"] == PASS
    assert found.summary["reasons"] == [
        "self-test: triton_queue_dropped was planted and the verdict was pass, allowed: fail"
    ]


def test_what_wavers_more_than_is_allowed_passes_nothing_and_faults_are_seen_all_the_same() -> None:
    quiet = load(selftest="true")
    noisy = replace(quiet, summary=quiet.summary | {"drift": 0.03})
    found = find(noisy.case, noisy.summary)
    assert found.summary["verdict"] == INCONCLUSIVE
    assert found.verdict == PASS  # of the gate itself
    assert all(each["caught"] for each in found.summary["selftest"])


def test_a_link_that_no_rate_fits_is_planted_the_other_way(cell: RecordedCell) -> None:
    fast = replace(cell.setting, link=replace(cell.case.link, rate_up_mbps=5000.0))
    assert faults.mbit_for_mbyte(fast).link.rate_up_mbps == pytest.approx(625.0)
    assert faults.mbit_for_mbyte(cell.setting).link.rate_up_mbps == pytest.approx(8 * cell.case.link.rate_up_mbps)


def test_without_the_self_test_there_is_none() -> None:
    cell = load(max_noise=0.05)
    found = find(cell.case, cell.summary)
    assert found.verdict == PASS
    assert "selftest" not in found.summary
