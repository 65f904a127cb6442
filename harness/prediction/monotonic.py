"""A longer slice of a network cannot be faster than a shorter one within it: what contradicts that is flagged.

Holds for heads (all start at the input), tails (all end at the last layer) and blocks alike, because a slice
contains another exactly where its layers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.prediction.profile import Flag

#: Compute speed drifts by up to this much within minutes (DESIGN, "Timing"); less is no contradiction.
NOISE = 0.05
#: A slice that took less than half of what a part of it took says nothing about either.
UNUSABLE = 0.5


@dataclass(frozen=True)
class TimedSlice:
    """Layers `start`+1..`end` as timed: the median in ms and its 95 % interval."""

    name: str
    start: int
    end: int
    ms: float
    low_ms: float
    high_ms: float

    def contains(self, other: TimedSlice) -> bool:
        """Whether the other's layers are some, not all, of these."""
        within = self.start <= other.start and other.end <= self.end
        return within and (self.start, self.end) != (other.start, other.end)


def find_flags(slices: Sequence[TimedSlice], *, noise: float = NOISE, floor_ms: float = 0.0) -> tuple[Flag, ...]:
    """Contradictions beyond the noise, the largest first; each slice is named once on either side.

    Flagged is a pair whose intervals lie apart the wrong way round by more than `noise` of the shorter one's time,
    and by more than `floor_ms`.
    """
    found = []
    for longer in slices:
        for shorter in slices:
            by_ms = shorter.low_ms - longer.high_ms
            if by_ms > max(noise * shorter.ms, floor_ms) and longer.contains(shorter):
                found.append(Flag(longer.name, shorter.name, by_ms, min(1.0, by_ms / shorter.ms)))
    kept: list[Flag] = []
    for flag in sorted(found, key=lambda flag: -flag.share):
        if all(flag.longer != other.longer and flag.shorter != other.shorter for other in kept):
            kept.append(flag)
    return tuple(kept)


def require_usable(flags: Sequence[Flag], what: str) -> None:
    """Raise HarnessError where a contradiction is so large that `what` cannot be used."""
    worst = next((flag for flag in flags if flag.share > UNUSABLE), None)
    if worst is not None:
        raise HarnessError(
            f"{what} cannot be used: {_described(worst)}; nothing of it was kept, run again when the host is quiet"
        )


def warning(flags: Sequence[Flag], what: str) -> str | None:
    """One line about the contradictions, with what to do; None where there are none."""
    if not flags:
        return None
    more = f" (and {len(flags) - 1} more)" if flags[1:] else ""
    return (
        f"warning: {what}: {_described(flags[0])}{more}; one of them was disturbed: run again with "
        "profile.refresh=true when the host is quiet, or with more profile.rounds"
    )


def _described(flag: Flag) -> str:
    return f"{flag.longer} was {flag.by_ms:.2g} ms ({flag.share:.0%}) faster than {flag.shorter}, a part of it"
