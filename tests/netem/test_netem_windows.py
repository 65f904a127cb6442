"""Windows after a silence and after a transfer, BBR's first rounds, and what jitter and loss add: all pure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import Impairments
from netem.bbr import STARTUP_GAIN, startup_arrivals_ms
from netem.spread import jitter_spread_ms, largest_loss, loss_spread_ms
from netem.theory import stalls_ms
from netem.windows import (
    restart_window,
    retransmission_timeout_ms,
    slow_start_threshold,
    window_after_silence,
    window_after_transfer,
)

SEGMENT_MS = 1514 * 8 / 57e3
WINDOWS = st.integers(1, 10_000)
SILENCES = st.floats(0, 1e5)
TIMEOUTS = st.floats(200, 2_000)


def kernels_window(window: int, silence_ms: float, rto_ms: float) -> int:
    """tcp_slow_start_after_idle_check() and tcp_cwnd_restart(), line by line."""
    if silence_ms <= rto_ms:
        return window
    restart, left = min(10, window), silence_ms
    while (left := left - rto_ms) > 0 and window > restart:
        window >>= 1
    return max(window, restart)


@given(WINDOWS, SILENCES, TIMEOUTS)
def test_a_silence_halves_the_window_as_the_kernel_does(window: int, silence_ms: float, rto_ms: float) -> None:
    ratio = silence_ms / rto_ms
    if abs(ratio - round(ratio)) > 1e-9:  # repeated subtraction and division round differently there
        assert window_after_silence(window, silence_ms, rto_ms) == kernels_window(window, silence_ms, rto_ms)


def test_windows_after_known_silences() -> None:
    silences = np.array([100.0, 228.0, 229.0, 500.0, 1_000.0, 5_000.0])
    assert retransmission_timeout_ms(28.0) == 228
    assert window_after_silence(400, silences, 228.0).tolist() == [400, 400, 200, 100, 25, 10]
    assert window_after_silence(7, 5_000.0, 228.0) == 7  # a window below the initial one is left alone


@given(st.integers(1, 3_000), st.floats(0, 5_000), st.floats(1, 100), st.sampled_from(["cubic", "reno"]))
def test_a_longer_silence_never_leaves_more(segments: int, silence_ms: float, rtt_ms: float, growth: str) -> None:
    threshold = slow_start_threshold(SEGMENT_MS, rtt_ms, growth)  # type: ignore[arg-type]
    short, long = (restart_window(segments, silence, SEGMENT_MS, rtt_ms, threshold) for silence in (0.0, silence_ms))
    assert 10 <= long <= short


@given(WINDOWS, st.integers(1, 10_000), st.floats(10, 5_000))
def test_a_transfer_never_shrinks_the_window_nor_grows_it_beyond_what_was_sent(
    window: int, segments: int, threshold: float
) -> None:
    after = window_after_transfer(window, segments, threshold)
    assert window <= after <= window + segments
    assert after <= window_after_transfer(window, segments, math.inf)


def test_reno_keeps_more_than_cubic_and_cubic_the_bandwidth_delay_product() -> None:
    reno, cubic = (slow_start_threshold(SEGMENT_MS, 28.0, growth) for growth in ("reno", "cubic"))  # type: ignore[arg-type]
    assert math.isinf(reno)
    assert cubic >= 28.0 / SEGMENT_MS
    assert slow_start_threshold(SEGMENT_MS, 28.0, "cubic", carried_segments=3_000) > cubic


@given(st.floats(0.02, 20), st.floats(0.5, 200))
def test_bbr_paces_more_slowly_than_the_link_and_ends_up_filling_it(segment_ms: float, rtt_ms: float) -> None:
    starts = np.array(startup_arrivals_ms(segment_ms, rtt_ms, 10, 2))
    assert starts[0] == 0
    assert (np.diff(starts) >= segment_ms - 1e-9).all()
    full = min(len(starts) - 1, int(rtt_ms / segment_ms))
    assert np.allclose(np.diff(starts[len(starts) - full :]), segment_ms)


def test_bbr_sends_its_first_window_at_once_and_the_second_at_its_startup_gain() -> None:
    starts = startup_arrivals_ms(0.01, 100.0, 10, 0)
    assert starts[9] == pytest.approx(0.09)
    # Twenty segments follow one round trip later, at 2.885 times ten in a round trip.
    assert starts[10] == pytest.approx(100, abs=1)
    assert starts[28] - starts[11] == pytest.approx(17 / (0.99 * STARTUP_GAIN * 10 / 100), rel=0.05)


def test_stalls_of_arrays_are_those_of_their_elements() -> None:
    random = np.random.default_rng(0)
    segments, segment_ms = np.ceil(random.uniform(1, 2_000, 500)), random.uniform(0.01, 10, 500)
    rtt_ms, window = random.uniform(0, 300, 500), np.ceil(random.uniform(1, 400, 500))
    together = stalls_ms(segments, segment_ms, rtt_ms, window)
    alone = [stalls_ms(*map(float, row)) for row in zip(segments, segment_ms, rtt_ms, window, strict=True)]
    assert np.allclose(together, alone, atol=1e-9)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "pareto"])
@pytest.mark.parametrize("segments", [1, 5, 200])
def test_jitter_delays_a_message_as_simulated_packets_do(distribution: str, segments: int) -> None:
    impairments = Impairments(jitter_ms=2.0, jitter_distribution=distribution)  # type: ignore[arg-type]
    mean, deviation = jitter_spread_ms(segments, SEGMENT_MS, 14.0, impairments)
    random = np.random.default_rng(1)
    draws = {
        "normal": lambda size: np.clip(random.normal(0, 1, size), -4, 4),
        "uniform": lambda size: random.uniform(-1, 1, size),
        "pareto": lambda size: _pareto(random, size),
    }[distribution]((20_000, segments))
    late = (2.0 * draws - np.arange(segments) * SEGMENT_MS).max(axis=1)
    assert mean[0] == pytest.approx(late.mean(), abs=0.08)
    assert deviation[0] == pytest.approx(late.std(), abs=0.08)


def _pareto(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """The table's own values, drawn at random: cut and standardised, which no closed form has."""
    from netem.distributions import SCALE, table

    return random.choice(np.array(table("pareto")) / SCALE, size)


def test_no_jitter_adds_nothing_and_more_of_it_adds_more() -> None:
    sizes = np.array([1, 10, 100])
    nothing = jitter_spread_ms(sizes, SEGMENT_MS, 14.0, Impairments())
    assert [values.tolist() for values in nothing] == [[0, 0, 0]] * 2
    little, much = (jitter_spread_ms(sizes, SEGMENT_MS, 14.0, Impairments(jitter_ms=ms)) for ms in (0.5, 2.0))
    assert (much[0] > little[0]).all()
    assert (much[1] > little[1]).all()


def test_loss_costs_a_tail_most_and_large_messages_no_more_than_a_round_trip_of_segments() -> None:
    mean, deviation = loss_spread_ms(np.array([1, 3, 50, 200, 2_000]), SEGMENT_MS, 28.0, 1e-4)
    assert (np.diff(mean) >= 0).all()
    assert mean[3] == mean[4]
    assert mean[0] == pytest.approx(1e-4 * (2 * 28 + 200))
    assert (deviation > mean).all()
    assert largest_loss(1_000, SEGMENT_MS, 28.0) == largest_loss(2_000, SEGMENT_MS, 28.0)
    assert largest_loss(10, SEGMENT_MS, 28.0) == pytest.approx(0.015)
