"""Slices that contradict each other are flagged, with by how much; those that do not are left alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.prediction.monotonic import NOISE, TimedSlice, find_flags, require_usable, warning

block_times = st.lists(st.floats(0.01, 100), min_size=2, max_size=8)


def timed(start: int, end: int, ms: float, half: float = 0.0) -> TimedSlice:
    return TimedSlice(f"{start}..{end}", start, end, ms, ms - half, ms + half)


def every_slice(times: list[float]) -> list[TimedSlice]:
    bounds = itertools.combinations(range(len(times) + 1), 2)
    return [timed(start, end, sum(times[start:end])) for start, end in bounds]


@settings(deadline=None)
@given(block_times)
def test_times_that_add_up_are_never_flagged(times: list[float]) -> None:
    assert find_flags(every_slice(times)) == ()


@settings(deadline=None)
@given(block_times, st.data(), st.floats(1.5, 20))
def test_one_disturbed_slice_is_named_and_measured(times: list[float], data: st.DataObject, factor: float) -> None:
    """A single block slowed until it exceeds the whole: every slice that contains it and was faster contradicts it."""
    place = data.draw(st.integers(0, len(times) - 1))
    slices = every_slice(times)
    whole = sum(times)
    slow = timed(place, place + 1, whole * factor)
    flags = find_flags([own for own in slices if (own.start, own.end) != (place, place + 1)] + [slow])
    assert flags
    assert all(flag.shorter == slow.name for flag in flags)
    worst = max(flags, key=lambda flag: flag.share)
    faster = min(own.ms for own in slices if own.contains(slow))
    assert worst.by_ms == pytest.approx(slow.ms - faster)
    assert worst.share == pytest.approx(1 - faster / slow.ms)


@settings(deadline=None)
@given(st.floats(0.1, 100), st.floats(0, 1))
def test_what_intervals_or_noise_explain_is_no_contradiction(ms: float, part: float) -> None:
    within_noise = [timed(0, 2, ms * (1 - part * NOISE * 0.99)), timed(0, 1, ms)]
    assert find_flags(within_noise) == ()
    overlapping = [timed(0, 2, 0.7 * ms, half=0.2 * ms), timed(0, 1, ms, half=0.2 * ms)]
    assert find_flags(overlapping) == ()


def test_what_lies_below_the_floor_is_no_contradiction() -> None:
    slices = [timed(0, 2, 1.0), timed(0, 1, 1.5), timed(5, 9, 10.0), timed(6, 7, 12.0)]
    assert [flag.longer for flag in find_flags(slices, floor_ms=0.7)] == ["5..9"]
    assert len(find_flags(slices)) == 2


def test_only_containment_counts() -> None:
    assert find_flags([timed(0, 3, 1.0), timed(2, 5, 9.0), timed(3, 9, 20.0)]) == ()
    assert find_flags([timed(0, 3, 1.0), timed(0, 3, 9.0)]) == ()  # the same layers twice


def test_the_warning_has_the_numbers_and_the_next_step() -> None:
    flags = find_flags([timed(0, 2, 6.0), timed(0, 1, 8.0), timed(5, 9, 1.0), timed(6, 7, 1.2)])
    assert [(flag.longer, flag.shorter) for flag in flags] == [("0..2", "0..1"), ("5..9", "6..7")]
    line = warning(flags, "the profile of the edge")
    assert line is not None
    assert "\n" not in line
    for part in ("the profile of the edge", "0..2", "2 ms", "25%", "0..1", "1 more", "profile.refresh=true"):
        assert part in line
    assert warning((), "anything") is None


def test_only_what_says_nothing_any_more_is_refused() -> None:
    require_usable(find_flags([timed(0, 2, 6.0), timed(0, 1, 8.0)]), "the profile")
    with pytest.raises(HarnessError, match=r"0\.\.2 was 6 ms \(75%\) faster than 0\.\.1"):
        require_usable(find_flags([timed(0, 2, 2.0), timed(0, 1, 8.0)]), "the profile")
