"""One timed round over pieces of work in random order."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from harness.profiling.work import Work

#: Terms in ms by the name of the work.
Times = dict[str, dict[str, float]]
Run = Callable[[], list[int]]


def time_round(
    works: Sequence[Work],
    prepare: Callable[[Work], Run],
    terms: Callable[[Work, int, list[int]], dict[str, float]],
    *,
    seed: int,
    gap_ms: float,
) -> Times:
    """Run every piece of work once, in an order shuffled by `seed`, and time it.

    Args:
        prepare: gives the callable of a piece of work; not timed.
        terms: turns the start and the callable's own clock readings (ns) into terms (ms).
        gap_ms: idle time before each call. A call after some 40 ms of idleness costs 0.5 ms more than one in a
            loop, and requests leave the tiers idle for that long.
    """
    order = list(works)
    random.Random(seed).shuffle(order)
    times: Times = {}
    for work in order:
        run = prepare(work)
        if gap_ms > 0:
            time.sleep(gap_ms / 1e3)
        started_ns = time.monotonic_ns()
        times[str(work)] = terms(work, started_ns, run())
    return times
