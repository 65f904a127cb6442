"""The curve through anchors, against walks whose truth is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.prediction.curve import student_t95, through_anchors, without_calls
from tests.prediction.synthetic_world import World

NOISE = 0.01


def profile_of(work_ms: np.ndarray):  # type: ignore[no-untyped-def]
    world = World(cuts=len(work_ms) - 1, call_ms=0.0)
    return replace(world.profiles().device, block_ms=tuple(work_ms.tolist()))


@given(st.integers(8, 40), st.floats(0.5, 3), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_where_blocks_tell_all_the_curve_is_their_sum_times_a_factor(cuts: int, factor: float, seed: int) -> None:
    world = World(cuts=cuts, seed=seed, call_ms=0.0)
    profile = world.profiles().device
    places = [0, cuts // 3, cuts // 2, cuts - 1]
    anchors = {profile.cuts[place].index: factor * world.head_ms(profile.cuts[place].index) for place in places}
    curve = through_anchors(profile, anchors, NOISE, reverse=False)
    for cut in profile.cuts:
        assert curve.time_ms[cut.index] == pytest.approx(factor * world.head_ms(cut.index), rel=1e-6)


@given(st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_a_curve_never_falls_and_its_error_is_no_number_below_zero(seed: int) -> None:
    random = np.random.default_rng(seed)
    profile = profile_of(random.uniform(0.1, 4, 25))
    anchors = {
        profile.cuts[place].index: float(ms)
        for place, ms in zip((0, 6, 12, 18, 23), random.uniform(1, 60, 5), strict=True)
    }
    curve = through_anchors(profile, anchors, NOISE, reverse=False)
    times = [curve.time_ms[index] for index in sorted(curve.time_ms)]
    assert all(earlier <= later + 1e-9 for earlier, later in itertools.pairwise(times))
    assert min(times) >= 0
    assert all(error >= 0 for error in curve.error_ms.values())


def test_the_interval_holds_what_a_walk_and_noise_do_to_it() -> None:
    """Over many worlds whose heads are a trend, a walk and noise: about 95 % of the truths lie inside."""
    inside = total = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        work = random.uniform(0.5, 3, 41)
        profile = profile_of(work)
        truth = 1.1 * np.cumsum(work) + np.cumsum(random.normal(0, 0.25 * np.sqrt(work)))
        seen = {
            profile.cuts[place].index: float(truth[place] * (1 + random.normal(0, NOISE)))
            for place in (0, 8, 16, 24, 32, 39)
        }
        curve = through_anchors(profile, seen, NOISE, reverse=False)
        for place in range(2, 38, 3):
            index = profile.cuts[place].index
            total += 1
            inside += abs(curve.time_ms[index] - truth[place]) <= curve.error_ms[index]
    assert 0.90 <= inside / total <= 0.995


def test_noisy_anchors_of_a_straight_line_are_smoothed() -> None:
    """The curve is nearer to the truth at the anchors than the anchors are."""
    off_curve, off_anchors = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        work = np.full(31, 2.0)
        profile = profile_of(work)
        places = (2, 7, 12, 17, 22, 27)
        truth = {profile.cuts[place].index: 2.0 * (place + 1) for place in places}
        seen = {index: ms * (1 + random.normal(0, 0.02)) for index, ms in truth.items()}
        curve = through_anchors(profile, seen, 0.02, reverse=False)
        off_curve += [abs(curve.time_ms[index] / ms - 1) for index, ms in truth.items()]
        off_anchors += [abs(seen[index] / ms - 1) for index, ms in truth.items()]
    assert np.mean(off_curve) < 0.8 * np.mean(off_anchors)


@given(st.lists(st.floats(0.01, 5), min_size=2, max_size=40), st.floats(0.1, 2))
def test_blocks_without_their_calls_sum_to_the_whole_or_stay(blocks: list[float], share: float) -> None:
    array = np.array(blocks)
    whole = share * array.sum()
    work, call = without_calls(array, whole)
    assert call >= 0
    assert (work <= array + 1e-12).all()
    if share >= 1:
        assert work == pytest.approx(array)
    elif share > 0.11:  # each block keeps a tenth
        assert work.sum() == pytest.approx(whole, rel=1e-6)


def test_student_s_t_falls_to_the_normal() -> None:
    values = [student_t95(degrees) for degrees in range(1, 40)]
    assert values[0] == 12.71
    assert values[-1] == 1.96
    assert all(earlier >= later for earlier, later in itertools.pairwise(values))
