"""Properties of the three states."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.schema import Key, Row, Sample
from harness.validation.decision import FAIL, INCONCLUSIVE, PASS, samples_needed, verdict_of
from harness.validation.gate import judge
from harness.validation.resampling import draw, interval
from harness.validation.statistics import fill_measured, summarise
from tests.validation.gate_settings import gate_settings
from tests.validation.synthetic_cell import make_cell

positive = st.floats(1e-3, 1e3)


@given(st.floats(-1e3, 1e3), positive, positive, st.floats(0, 1e3))
def test_exactly_one_state_and_slack_only_takes_failures_away(
    middle: float, half: float, tolerance: float, slack: float
) -> None:
    low, high = middle - half, middle + half
    strict, lenient = verdict_of(low, high, tolerance), verdict_of(low, high, tolerance, slack)
    assert (strict == PASS) == (-tolerance <= low and high <= tolerance) == (lenient == PASS)
    assert lenient == strict or (strict, lenient) == (FAIL, INCONCLUSIVE)
    assert verdict_of(-high, -low, tolerance) == strict  # too slow is as bad as too fast


@given(st.floats(-1e3, 1e3), positive, positive)
def test_a_narrower_interval_never_unsettles_what_was_settled(middle: float, half: float, tolerance: float) -> None:
    wide = verdict_of(middle - half, middle + half, tolerance)
    narrow = verdict_of(middle - half / 2, middle + half / 2, tolerance)
    assert wide == INCONCLUSIVE or narrow == wide


@given(st.floats(-1e3, 1e3), positive, positive, st.integers(3, 100))
def test_the_samples_named_decide_if_the_middle_stays(middle: float, half: float, tolerance: float, n: int) -> None:
    if verdict_of(middle - half, middle + half, tolerance) != INCONCLUSIVE:
        return
    needed = samples_needed(middle, middle - half, middle + half, tolerance, n)
    if needed is None:
        assert abs(tolerance - abs(middle)) * np.sqrt(1000 / n) <= half * (1 + 1e-9)
        return
    assert needed > n
    shrunk = half * np.sqrt(n / needed) * (1 - 1e-9)
    assert verdict_of(middle - shrunk, middle + shrunk, tolerance) != INCONCLUSIVE or 2 * tolerance < 2 * shrunk


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50), st.floats(-1e3, 1e3))
def test_an_interval_holds_its_estimate(values: list[float], estimate: float) -> None:
    low, high = interval(estimate, np.array(values))
    assert low <= estimate <= high


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(0.01, 0.2))
def test_scaling_every_prediction_flips_the_verdict_at_the_tolerance(error: float, tolerance: float) -> None:
    """Without noise an error of e is an error of e: inside the tolerance it passes, outside it fails."""
    if abs(abs(error) - tolerance) < 1e-6:
        return
    keys = [Key("split", number, "none") for number in range(6, 12)]
    samples = [
        Sample(key, order, 100.0 + place, {"device": 100.0 + place}, 0.0)
        for place, key in enumerate(keys)
        for order in range(5)
    ]
    rows = [Row(key, predicted_ms=(100.0 + place) * (1 + error)) for place, key in enumerate(keys)]
    fill_measured(rows, samples, 0)
    judged = judge(
        rows,
        samples,
        summarise(rows, samples, min_split=0),
        gate_settings(max_mape=tolerance, max_p95_abs_error=None, max_bias=tolerance),
        network_theory_ms={},
    )
    by_name = {each.quantity: each.verdict for each in judged.judgements}
    assert by_name["mape"] == by_name["bias"] == (PASS if abs(error) < tolerance else FAIL)


def test_more_samples_unsettle_no_pass_in_expectation() -> None:
    """Over ten cells each: the share that passes does not fall with the number of samples, and nothing fails."""
    lenient = gate_settings(max_mape=0.02, max_noise=None)
    verdicts: dict[tuple[str, int], list[str]] = {}
    for samples in (4, 8, 32):
        for seed in range(10):
            cell = make_cell(noise=0.04, samples=samples, seed=seed)
            draws = draw(cell.samples, seed, resamples=200)
            judged = judge(cell.rows, cell.samples, cell.summary, lenient, network_theory_ms=cell.theory, draws=draws)
            for each in judged.judgements:
                verdicts.setdefault((each.quantity, samples), []).append(each.verdict)
    for quantity in ("mape", "bias", "device", "uplink", "edge"):
        few, some, many = (verdicts[quantity, samples].count(PASS) for samples in (4, 8, 32))
        assert few <= some + 1, quantity
        assert some <= many, quantity
        assert many == 10, quantity
    assert not any(FAIL in found for found in verdicts.values())


def test_the_same_seed_draws_the_same() -> None:
    cell = make_cell()
    one, other, third = draw(cell.samples, 1), draw(cell.samples, 1), draw(cell.samples, 2)
    np.testing.assert_array_equal(one.resampled, other.resampled)
    assert not np.array_equal(one.resampled, third.resampled, equal_nan=True)
    assert one.keys == third.keys
    np.testing.assert_array_equal(one.medians, third.medians)
