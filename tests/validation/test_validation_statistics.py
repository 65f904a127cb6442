from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from harness.results.schema import Key, Row, Sample
from harness.validation import statistics
from tests.validation.synthetic_cell import make_cell

latencies = st.floats(0.1, 1e4)


def split_row(split: int, predicted: float | None, measured: float | None, layer: str = "maxpool") -> Row:
    return Row(Key("split", split, layer), predicted_ms=predicted, measured_ms=measured)


@given(st.lists(latencies, min_size=1, max_size=15), st.integers(0, 100))
def test_the_interval_of_a_median_holds_it_and_repeats(values: list[float], seed: int) -> None:
    low, high = statistics.bootstrap_median_interval(values, seed, resamples=200)
    assert min(values) <= low <= high <= max(values)
    assert (low, high) == statistics.bootstrap_median_interval(values, seed, resamples=200)


def test_the_interval_covers_the_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        low, high = statistics.bootstrap_median_interval(list(random.normal(100, 2, 10)), seed, resamples=400)
        hits += low <= 100 <= high
    assert 0.85 <= hits / 200 <= 1.0


def test_no_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one"):
        statistics.bootstrap_median_interval([], 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=20))
def test_tau_b_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    ours, theirs = statistics.kendall_tau_b(x, y), kendalltau(x, y).statistic
    if np.isnan(theirs):
        assert ours is None
    else:
        assert ours == pytest.approx(theirs, abs=1e-12)


@given(st.lists(latencies, min_size=2, max_size=20, unique=True))
def test_tau_of_itself_is_one_and_of_its_reverse_minus_one(values: list[float]) -> None:
    assert statistics.kendall_tau_b(values, values) == pytest.approx(1)
    assert statistics.kendall_tau_b([-each for each in values], values) == pytest.approx(-1)


def test_values_nearer_than_the_noise_floor_are_ties() -> None:
    predicted, measured = [2.0, 1.0, 3.0], [100.0, 100.5, 200.0]
    assert statistics.kendall_tau_b(predicted, measured) == pytest.approx(1 / 3)
    # two pairs remain, both concordant; the prediction has three untied pairs
    assert statistics.kendall_tau_b(predicted, measured, 0.01) == pytest.approx(2 / np.sqrt(6))
    assert statistics.kendall_tau_b(predicted, measured, 5.0) is None


@given(st.lists(st.floats(-0.9, 5), min_size=1, max_size=30))
def test_the_error_statistics_keep_their_order(errors: list[float]) -> None:
    mape, p95, bias = statistics.mape(errors), statistics.p95_abs_error(errors), statistics.bias(errors)
    assert mape is not None
    assert p95 is not None
    assert bias is not None
    assert abs(bias) <= mape + 1e-12
    assert 0 <= p95 <= max(map(abs, errors)) + 1e-12
    assert mape <= max(map(abs, errors)) + 1e-12


def test_no_rows_have_no_statistics() -> None:
    summary = statistics.summarise([], [], min_split=5)
    given_away = {"measured_candidates", "min_split", "sentence"}
    for name, value in summary.items():
        if name not in given_away:
            assert value is None or value == {"predicted": None, "measured": None}, name
    assert summary["sentence"] == "No candidate has a latency yet."


def test_regret_by_hand() -> None:
    rows = [split_row(1, 10, 20), split_row(6, 20, 15), split_row(8, 30, 30)]
    assert statistics.regret(rows) == pytest.approx(20 / 15 - 1)
    assert statistics.regret(rows, 0.5) == 0
    assert statistics.regret(rows, min_split=2) == 0
    assert statistics.regret(rows, min_split=9) is None
    # min_split 1 loses a third, 2 to 8 nothing
    assert statistics.regret_by_min_split(rows) == pytest.approx((20 / 15 - 1) / 8)
    baseline = Row(Key("device-only"), predicted_ms=40, measured_ms=10)
    assert statistics.regret_all([*rows, baseline]) == pytest.approx(1.0)


def test_a_cut_that_only_min_split_forbids_counts_below_it_and_an_impossible_one_never() -> None:
    early, impossible = split_row(1, 10, 20), split_row(7, 1, 1)
    early.feasible, early.infeasible_because = False, "cut 1 < constraints.min_split 5"
    impossible.feasible, impossible.infeasible_because = False, "no spatial axes"
    rows = [early, impossible, split_row(6, 20, 15)]
    assert statistics.regret(rows) == pytest.approx(20 / 15 - 1)
    assert statistics.regret(rows, min_split=5) == 0
    assert statistics.summarise(rows, [], min_split=5)["best_predicted"] == "split/6/maxpool/float32"


@given(
    st.lists(st.tuples(st.integers(1, 50), latencies, latencies), min_size=1, max_size=12, unique_by=lambda t: t[0]),
    st.floats(0, 0.2),
)
@settings(max_examples=50)
def test_regret_is_never_negative_and_zero_for_the_truth(triples: list[tuple[int, float, float]], floor: float) -> None:
    rows = [split_row(*triple) for triple in triples]
    truth = [split_row(split, measured, measured) for split, _, measured in triples]
    for each in (statistics.regret, statistics.regret_all, statistics.regret_by_min_split):
        value = each(rows, floor)
        assert value is not None
        assert value >= 0
        assert each(truth, floor) == 0


@given(st.lists(latencies, min_size=2, max_size=12), st.floats(0.5, 2))
def test_drift_and_noise_floor_are_relative(totals: list[float], scale: float) -> None:
    key = Key("device-only")
    for each in (statistics.drift, statistics.noise_floor):
        assert each({key: totals}) == pytest.approx(each({key: [value * scale for value in totals]}), abs=1e-9)


def test_drift_and_noise_floor_by_hand() -> None:
    rising = {Key("device-only"): [10.0, 10.0, 99.0, 11.0, 11.0]}
    assert statistics.drift(rising) == pytest.approx(0.1)
    alternating = {Key("device-only"): [10.0, 8.0, 10.0, 8.0]}
    assert statistics.noise_floor(alternating) == pytest.approx(0.25)
    assert statistics.drift(alternating) == pytest.approx(0)
    assert statistics.drift({Key("device-only"): [1.0]}) is None


@given(st.permutations(range(12)))
@settings(max_examples=20)
def test_the_order_of_the_lines_does_not_matter(order: list[int]) -> None:
    key = Key("edge-only", None, "none", "uint8")
    samples = [
        Sample(key, place, 100.0 + place**2, {"uplink": 40.0 + place, "edge": 50.0}, 10.0) for place in range(12)
    ]
    rows = [[Row(key, predicted_ms=130.0)], [Row(key, predicted_ms=130.0)]]
    statistics.fill_measured(rows[0], samples, seed=3)
    statistics.fill_measured(rows[1], [samples[place] for place in order], seed=3)
    assert rows[0] == rows[1]


def test_what_fill_measured_fills() -> None:
    key = Key("split", 51, "maxpool")
    rows = [Row(key, predicted_ms=90.0), Row(Key("device-only"), predicted_ms=5.0), Row(Key("edge-only"))]
    samples = [
        Sample(key, order, total, {"device": 20.0, "uplink": 60.0, "edge": 10.0}, total - 90.0)
        for order, total in enumerate((100.0, 110.0, 90.0))
    ]
    statistics.fill_measured(rows, [*samples, Sample(Key("device-only"), 9, 5.0, {"device": 5.0}, 0.0)], seed=0)
    row = rows[0]
    assert (row.measured_ms, row.samples, row.error) == (100.0, 3, pytest.approx(-0.1))
    assert row.measured_terms == {"device": 20.0, "uplink": 60.0, "edge": 10.0}
    assert (row.network_measured_ms, row.other_measured_ms) == (70.0, 10.0)
    assert rows[1].network_measured_ms is None
    assert rows[2] == Row(Key("edge-only"))


def test_the_summary_of_a_good_cell() -> None:
    cell = make_cell()
    summary = cell.summary
    assert summary["mape"] < 0.02
    assert summary["forecast_mape"] == pytest.approx(0.02, abs=0.01)
    assert summary["paper_mape"] == pytest.approx(0.15, abs=0.02)
    assert summary["kendall_tau"] > 0.9
    assert 0 < summary["noise_floor"] < 0.02
    assert summary["max_other_share"] < 0.01
    assert Key.parse(summary["best_predicted"]).split >= 5
    measured = {str(row.key): row.measured_ms for row in cell.rows}
    best = measured[summary["best_predicted"]]  # every split of this cell is measured
    assert summary["speedup_vs_device_only"]["measured"] == pytest.approx(measured["device-only"] / best)
    assert summary["speedup_vs_edge_only"]["measured"] == pytest.approx(measured["edge-only/jpeg"] / best)
    assert summary["speedup_vs_scission"]["measured"] > 1
    assert summary["delta_t_best_ms"] > 0


def test_the_fastest_of_many_cuts_is_not_compared_with_the_fastest_of_few() -> None:
    """With the transfer layer two cuts are measured, without it one; the second was predicted slower and came out
    faster, by luck."""
    with_layer, lucky = (
        Row(Key("split", cut, "maxpool"), predicted_ms=cut, measured_ms=ms) for cut, ms in ((10, 11), (12, 9))
    )
    without = Row(Key("split", 10), predicted_ms=20.0, measured_ms=22.0)
    summary = statistics.summarise([with_layer, lucky, without], [], min_split=1)
    assert summary["speedup_vs_scission"] == {"predicted": 2.0, "measured": 2.0}


def test_the_paper_answers_for_the_cuts_that_its_tool_knows_on_compiled_and_on_eager_times() -> None:
    theirs, ours = split_row(6, 100, 100), split_row(7, 100, 100)
    theirs.paper_ms, theirs.paper_eager_ms = 110.0, 250.0
    ours.paper_ms, ours.paper_eager_ms, ours.scission_cut = 1.0, 1.0, False
    summary = statistics.summarise([theirs, ours], [], min_split=5)
    assert summary["paper_mape"] == pytest.approx(0.1)
    assert summary["paper_eager_mape"] == pytest.approx(1.5)


def test_the_sentence_names_a_baseline_that_beats_every_split_and_by_how_much() -> None:
    rows = [split_row(6, 250, 252.0), Row(Key("edge-only", None, "none", "jpeg"), measured_ms=113.4)]
    assert statistics.sentence(rows, 5, 0.01) == (
        "The naive baseline edge-only (jpeg) beats every split from cut 5 on: measured 113.4 ms, "
        "138.6 ms (55%) less than split 6 (maxpool) with 252.0 ms."
    )
    rows[1].measured_ms = 504.0
    assert "2.00 times as fast as the best naive baseline" in statistics.sentence(rows, 5, 0.01)
    rows[1].measured_ms = 251.0
    assert "less than the noise floor of 1.0%" in statistics.sentence(rows, 5, 0.01)
    assert "no naive baseline" in statistics.sentence(rows[:1], 5, 0.01)
    assert "no feasible split" in statistics.sentence(rows[1:], 5, 0.01)


def test_the_odd_and_even_tau_is_one_where_rows_are_far_apart() -> None:
    far = {Key("split", split): [split * 100.0 + noise for noise in range(6)] for split in range(1, 6)}
    assert statistics.tau_aa(far, 0.01) == pytest.approx(1)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, harness.validation.gate, harness.report.sweep, harness.report.console, "
        "harness.report.figure; print([m for m in ('tensorflow', 'scipy', 'matplotlib', 'rich') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
