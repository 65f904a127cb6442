from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from harness.results.schema import Key, Sample
from harness.validation.gate import Verdict, expected_terms, judge
from harness.validation.statistics import fill_measured, summarise
from tests.validation.synthetic_cell import SyntheticCell, make_cell


@dataclass(frozen=True)
class Settings:
    enabled: bool = True
    max_mape: float | None = 0.15
    network_relative: float = 0.10
    network_absolute_ms: float = 3.0
    max_other_share: float = 0.01
    max_forecast_mape: float | None = None


def verdict_of(cell: SyntheticCell, settings: Settings = Settings()) -> Verdict:
    return judge(cell.rows, cell.samples, cell.summary, settings, network_theory_ms=cell.theory)


def with_samples(cell: SyntheticCell, samples: list[Sample]) -> SyntheticCell:
    fill_measured(cell.rows, samples, 0)
    return replace(cell, samples=samples, summary=summarise(cell.rows, samples, min_split=5))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_good_work_passes(seed: int, noise: float) -> None:
    assert verdict_of(make_cell(seed=seed, noise=noise)) == Verdict("pass")


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
def test_a_wrong_unit_fails(wrong: dict[str, float], noise: float) -> None:
    verdict = verdict_of(make_cell(noise=noise, **wrong))
    assert verdict.verdict == "fail"
    assert any("network_measured_ms is" in reason and "allowed within" in reason for reason in verdict.reasons)
    assert all("\n" not in reason for reason in verdict.reasons)


def test_a_wrong_unit_fails_on_a_machine_too_noisy_for_anything_else() -> None:
    noisy = make_cell(noise=0.6, samples=4, seed=1, measured_mbps=57 / 8)
    assert noisy.summary["noise_floor"] > 0.15
    assert verdict_of(noisy).verdict == "fail"


def test_compute_in_seconds_fails_the_accuracy() -> None:
    cell = make_cell()
    for row in cell.rows:
        row.predicted_ms = (row.predicted_ms or 0) / 1000
    cell = with_samples(cell, cell.samples)
    verdict = verdict_of(cell)
    assert verdict.verdict == "fail"
    assert verdict.reasons == ("mape is 99.9%, allowed 15.0%",)


def test_a_missing_term_fails_and_an_unavailable_one_does_not() -> None:
    cell = make_cell()
    blind = [
        replace(each, terms={term: value for term, value in each.terms.items() if term != "queue"})
        for each in cell.samples
    ]
    blind = [replace(each, other_ms=each.total_ms - sum(each.terms.values())) for each in blind]
    cell = with_samples(cell, blind)
    verdict = verdict_of(cell)
    assert verdict.verdict == "fail"
    assert any("term queue is missing in 10 of 10 requests" in reason for reason in verdict.reasons)
    cell.summary["unavailable_terms"] = ["queue"]
    assert verdict_of(cell).verdict == "pass"


def test_a_sum_that_does_not_close_fails() -> None:
    cell = make_cell()
    first = cell.samples[0]
    verdict = verdict_of(replace(cell, samples=[replace(first, total_ms=first.total_ms + 2), *cell.samples[1:]]))
    assert verdict.verdict == "fail"
    assert "miss the total by up to 2.000 ms" in verdict.reasons[0]


def test_other_is_judged_by_the_median_and_the_worst_request_is_named() -> None:
    cell = make_cell()
    key = Key("split", 51, "maxpool")
    own = [each for each in cell.samples if each.key == key]
    rest = [each for each in cell.samples if each.key != key]

    def slower(each: Sample, by: float) -> Sample:
        return replace(each, total_ms=each.total_ms + by, other_ms=each.other_ms + by)

    one = with_samples(cell, [slower(own[0], 30.0), *own[1:], *rest])
    assert verdict_of(one).verdict == "pass"
    most = with_samples(cell, [slower(own[0], 30.0), *(slower(each, 8.0) for each in own[1:]), *rest])
    verdict = verdict_of(most)
    assert verdict.verdict == "fail"
    assert "allowed 1.00%; worst request: 30." in verdict.reasons[0]


def test_too_few_samples_cannot_decide() -> None:
    verdict = verdict_of(make_cell(samples=2))
    assert verdict.verdict == "inconclusive"
    assert "2 samples, allowed 3 or more" in verdict.reasons[0]
    assert verdict_of(make_cell(samples=2, measured_mbps=5)).verdict == "inconclusive"


def test_a_noise_floor_or_a_drift_above_the_tolerance_cannot_decide() -> None:
    cell = make_cell()
    for quantity, value in (("noise_floor", 0.2), ("drift", -0.2)):
        verdict = verdict_of(replace(cell, summary=cell.summary | {quantity: value, "mape": 0.3}))
        assert verdict.verdict == "inconclusive"
        assert quantity in verdict.reasons[0]


def test_nothing_measured_cannot_decide() -> None:
    assert verdict_of(make_cell(samples=0)).verdict == "inconclusive"


def test_the_forecast_has_a_tolerance_of_its_own() -> None:
    cell = make_cell()
    assert verdict_of(cell, Settings(max_forecast_mape=0.05)).verdict == "pass"
    verdict = verdict_of(cell, Settings(max_forecast_mape=0.01))
    assert verdict.verdict == "fail"
    assert verdict.reasons[0].startswith("forecast_mape is 2.")


def test_no_link_value_is_a_fault_of_the_harness() -> None:
    cell = make_cell()
    verdict = verdict_of(replace(cell, theory={}))
    assert verdict.verdict == "fail"
    assert "no link formula value" in verdict.reasons[0]


def test_a_gate_that_is_off_says_nothing() -> None:
    assert verdict_of(make_cell(measured_mbps=5), Settings(enabled=False)) == Verdict(None)


def test_the_terms_of_each_candidate() -> None:
    assert expected_terms(Key("device-only")) == ("device",)
    assert "device" not in expected_terms(Key("edge-only"))
    assert "edge_tl" not in expected_terms(Key("split", 3, "none"))
    assert len(expected_terms(Key("split", 3, "maxpool"))) == 9
