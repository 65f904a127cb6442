from __future__ import annotations

from dataclasses import replace

import pytest

from harness.results.schema import Key, Sample
from harness.spec.sections import Gate
from harness.validation.gate import FAIL, INCONCLUSIVE, PASS, Verdict, expected_terms, judge
from harness.validation.statistics import fill_measured, summarise
from tests.validation.gate_settings import gate_settings
from tests.validation.synthetic_cell import SyntheticCell, make_cell

DEFAULT = gate_settings()


def verdict_of(cell: SyntheticCell, settings: Gate = DEFAULT) -> Verdict:
    return judge(cell.rows, cell.samples, cell.summary, settings, network_theory_ms=cell.theory)


def with_samples(cell: SyntheticCell, samples: list[Sample]) -> SyntheticCell:
    fill_measured(cell.rows, samples, 0)
    return replace(cell, samples=samples, summary=summarise(cell.rows, samples, min_split=5))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0, 0.005, 0.01])
def test_good_work_passes(seed: int, noise: float) -> None:
    verdict = verdict_of(make_cell(seed=seed, noise=noise))
    assert (verdict.verdict, verdict.reasons) == (PASS, ())
    assert {"mape", "bias", "regret", "device", "uplink", "queue", "network"} <= {
        each.quantity for each in verdict.judgements
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_noise_never_rejects_good_work(seed: int, noise: float) -> None:
    verdict = verdict_of(make_cell(seed=seed, noise=noise))
    assert verdict.verdict in (PASS, INCONCLUSIVE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"measured_mbps": 57 / 8},  # Mbit taken for Mbyte
        {"measured_mbps": 57 * 8},
        {"measured_mbps": 57 * 1.048576**4},
        {"measured_rtt_ms": 56.0},  # the round trip taken for one way
        {"measured_rtt_ms": 14.0},  # one way taken for the round trip
        {"measured_rtt_ms": 28e3},  # ms taken for s
    ],
)
@pytest.mark.parametrize("noise", [0.005, 0.03])
def test_a_wrong_unit_fails_and_the_term_and_its_equation_are_named(wrong: dict[str, float], noise: float) -> None:
    verdict = verdict_of(make_cell(noise=noise, **wrong))
    assert verdict.verdict == FAIL
    assert {"uplink", "network"} <= verdict.failed()
    reason = next(each.reason for each in verdict.judgements if each.quantity == "uplink")
    assert reason in verdict.reasons
    assert "responsible: Eq. 4" in reason
    assert all("\n" not in each for each in verdict.reasons)


def test_a_wrong_unit_fails_on_a_machine_too_noisy_for_anything_else() -> None:
    noisy = make_cell(noise=0.6, samples=4, seed=1, measured_mbps=57 / 8)
    assert noisy.summary["noise_floor"] > 0.15
    assert verdict_of(noisy).verdict == FAIL


def test_compute_in_seconds_fails_the_accuracy() -> None:
    cell = make_cell()
    for row in cell.rows:
        row.predicted_ms = (row.predicted_ms or 0) / 1000
    cell = with_samples(cell, cell.samples)
    verdict = verdict_of(cell)
    assert verdict.verdict == FAIL
    assert {"mape", "p95_abs_error", "bias"} <= verdict.failed()
    assert verdict.reasons[0].startswith("mape is 99.90% (95 % interval 99.90% to 99.90%), allowed 5.00%")


def test_a_lost_queue_drowns_in_the_total_and_fails_all_the_same() -> None:
    cell = make_cell()
    for row in cell.rows:
        if row.predicted_terms and row.predicted_ms:
            row.predicted_ms -= row.predicted_terms.pop("queue", 0.0)
    verdict = verdict_of(cell)
    assert verdict.verdict == FAIL
    assert verdict.failed() == {"queue"}
    assert verdict_of(cell, gate_settings(terms={"queue": {"share": None}})).verdict == PASS


def test_a_term_is_judged_where_it_carries_a_share_of_the_total() -> None:
    cell = make_cell()
    judged = {each.quantity for each in verdict_of(cell).judgements}
    assert "edge_tl" in judged  # always
    assert "serialize" not in judged  # 0.3 ms of some hundred
    everything = {each.quantity for each in verdict_of(cell, gate_settings(min_term_share=0.0)).judgements}
    assert {"serialize", "device_tl"} <= everything


def test_an_undecided_quantity_says_how_many_samples_would_decide() -> None:
    cell = make_cell(noise=0.05, seed=3)
    mape = next(each for each in verdict_of(cell).judgements if each.quantity == "mape")
    tolerance = mape.estimate * 1.05
    settings = gate_settings(max_mape=tolerance, max_noise=None)
    cell.summary["noise_floor"] = 0.0
    verdict = verdict_of(cell, settings)
    judged = next(each for each in verdict.judgements if each.quantity == "mape")
    assert verdict.verdict == INCONCLUSIVE
    assert judged.samples == 10
    assert judged.samples_needed is None or judged.samples_needed > 10
    assert judged.samples_needed is None or f"measure.samples={judged.samples_needed}" in judged.reason


def test_a_tolerance_below_the_noise_floor_is_refused() -> None:
    cell = make_cell(noise=0.01)
    verdict = verdict_of(cell, gate_settings(max_mape=cell.summary["noise_floor"] / 2))
    mape = next(each for each in verdict.judgements if each.quantity == "mape")
    assert verdict.verdict == INCONCLUSIVE
    assert mape.verdict == INCONCLUSIVE
    assert "below the noise floor" in mape.reason


def test_a_missing_term_fails_and_an_unavailable_one_does_not() -> None:
    cell = make_cell()
    blind = [
        replace(each, terms={term: value for term, value in each.terms.items() if term != "queue"})
        for each in cell.samples
    ]
    blind = [replace(each, other_ms=each.total_ms - sum(each.terms.values())) for each in blind]
    cell = with_samples(cell, blind)
    verdict = verdict_of(cell)
    assert verdict.verdict == FAIL
    assert any("term queue is missing in 10 of 10 requests" in reason for reason in verdict.reasons)
    cell.summary["unavailable_terms"] = ["queue"]
    assert verdict_of(cell).verdict == PASS


def test_a_sum_that_does_not_close_fails() -> None:
    cell = make_cell()
    first = cell.samples[0]
    verdict = verdict_of(replace(cell, samples=[replace(first, total_ms=first.total_ms + 2), *cell.samples[1:]]))
    assert verdict.verdict == FAIL
    assert "miss the total by up to 2.000 ms" in verdict.reasons[0]


def test_other_is_judged_by_the_median_and_the_worst_request_is_named() -> None:
    cell = make_cell()
    key = Key("split", 51, "maxpool")
    own = [each for each in cell.samples if each.key == key]
    rest = [each for each in cell.samples if each.key != key]

    def slower(each: Sample, by: float) -> Sample:
        return replace(each, total_ms=each.total_ms + by, other_ms=each.other_ms + by)

    one = with_samples(cell, [slower(own[0], 30.0), *own[1:], *rest])
    assert verdict_of(one).verdict == PASS
    most = with_samples(cell, [slower(own[0], 30.0), *(slower(each, 8.0) for each in own[1:]), *rest])
    verdict = verdict_of(most)
    assert verdict.verdict == FAIL
    assert "allowed 1.00%; worst request: 30." in verdict.reasons[0]


def test_too_few_samples_cannot_decide() -> None:
    verdict = verdict_of(make_cell(samples=2))
    assert verdict.verdict == INCONCLUSIVE
    assert "2 samples, allowed 3 or more" in verdict.reasons[0]
    assert verdict_of(make_cell(samples=2, measured_mbps=5)).verdict == INCONCLUSIVE
    assert verdict_of(make_cell(samples=1)).verdict == INCONCLUSIVE


@pytest.mark.parametrize(("quantity", "value"), [("noise_floor", 0.021), ("drift", -0.021)])
def test_a_cell_that_wavers_passes_nothing(quantity: str, value: float) -> None:
    cell = make_cell()
    verdict = verdict_of(replace(cell, summary=cell.summary | {quantity: value}))
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons[0].startswith(f"{quantity} is ")
    assert "gate.max_noise" in verdict.reasons[0]
    unlimited = verdict_of(replace(cell, summary=cell.summary | {quantity: value}), gate_settings(max_noise=None))
    assert unlimited.verdict == PASS


def test_nothing_measured_cannot_decide() -> None:
    assert verdict_of(make_cell(samples=0)).verdict == INCONCLUSIVE


def test_a_gate_that_judges_nothing_passes_nothing() -> None:
    cell = make_cell()
    rows = [row for row in cell.rows if row.key.candidate == "device-only"]
    alone = replace(cell, rows=rows, samples=[each for each in cell.samples if each.key == rows[0].key], theory={})
    totals = ("max_mape", "max_p95_abs_error", "max_bias", "max_forecast_mape", "max_regret")
    verdict = verdict_of(alone, gate_settings(terms={"device": {"share": None}}, **dict.fromkeys(totals)))
    assert verdict.judgements == ()
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons[0].startswith("nothing was judged")
    assert verdict_of(alone).verdict == PASS


def test_what_was_measured_and_not_predicted_passes_nothing() -> None:
    cell = make_cell()
    gone = next(row for row in cell.rows if row.key == Key("split", 51, "maxpool"))
    gone.predicted_ms, gone.predicted_terms, gone.error = None, {}, None
    verdict = verdict_of(cell)
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons == (
        "split/51/maxpool/float32: measured, and not predicted (1 such rows): nothing says how far off that is",
    )


def test_the_forecast_has_a_tolerance_of_its_own() -> None:
    cell = make_cell(noise=0.002)
    assert verdict_of(cell, gate_settings(max_forecast_mape=0.05)).verdict == PASS
    verdict = verdict_of(cell, gate_settings(max_forecast_mape=0.01))
    assert verdict.verdict == FAIL
    assert verdict.failed() == {"forecast_mape"}
    assert verdict.reasons[0].startswith("forecast_mape is 2.")


def profiled_faster(cell: SyntheticCell, device: float, edge: float) -> SyntheticCell:
    """The cell with a forecast from when compute took that much less; `summary` says what anchors show of it."""
    for row in cell.rows:
        terms = row.predicted_terms
        gone_ms = terms.get("device", 0.0) * (1 - 1 / device) + terms.get("edge", 0.0) * (1 - 1 / edge)
        row.forecast_ms = (row.predicted_ms or 0.0) - gone_ms
    cell.summary["speed_change"] = {"device": device, "edge": edge}
    return cell


def test_a_forecast_that_only_the_hosts_speed_has_left_behind_is_undecided_and_says_so() -> None:
    cell = profiled_faster(make_cell(noise=0.002), device=1.5, edge=1.2)
    verdict = verdict_of(cell, gate_settings(max_forecast_mape=0.05))
    assert verdict.verdict == INCONCLUSIVE
    (reason,) = verdict.reasons
    assert "device 1.50, edge 1.20 times" in reason
    assert "profile.refresh=true" in reason


def test_a_change_of_speed_excuses_no_forecast_that_is_wrong_apart_from_it() -> None:
    cell = profiled_faster(make_cell(noise=0.002), device=1.5, edge=1.2)
    for row in cell.rows:
        row.forecast_ms = 0.8 * (row.forecast_ms or 0.0)
    assert verdict_of(cell, gate_settings(max_forecast_mape=0.05)).failed() == {"forecast_mape"}


def test_a_best_split_that_is_not_the_best_is_judged_by_what_it_loses() -> None:
    cell = make_cell(noise=0.002)
    worst = max(
        (row for row in cell.rows if row.key.split and row.feasible and row.measured_ms),
        key=lambda row: row.measured_ms or 0.0,
    )
    worst.predicted_ms = 1.0
    verdict = verdict_of(cell, gate_settings(max_mape=None, max_p95_abs_error=None, max_bias=None))
    assert "regret" in verdict.failed()
    assert str(worst.key) in next(each.reason for each in verdict.judgements if each.quantity == "regret")


def test_no_link_value_is_a_fault_of_the_harness() -> None:
    cell = make_cell()
    verdict = verdict_of(replace(cell, theory={}))
    assert verdict.verdict == FAIL
    assert "no link formula value" in verdict.reasons[0]


def test_a_gate_that_is_off_says_nothing() -> None:
    assert verdict_of(make_cell(measured_mbps=5), gate_settings(enabled=False)) == Verdict(None)


def test_the_terms_of_each_candidate() -> None:
    assert expected_terms(Key("device-only")) == ("device",)
    assert "device" not in expected_terms(Key("edge-only"))
    assert "edge_tl" not in expected_terms(Key("split", 3, "none"))
    assert len(expected_terms(Key("split", 3, "maxpool"))) == 9
