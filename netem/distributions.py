"""Jitter distributions as the tables that ``sch_netem`` takes: one table, used by the kernel and by the relay.

A table holds equally likely values of a variable with mean 0, in units of 1/8192 of the jitter
(NETEM_DIST_SCALE in <linux/pkt_sched.h>), as 16-bit integers: nothing lies further out than 4 jitters.
For ``normal`` and ``pareto`` the jitter is the standard deviation, for ``uniform`` the half-width. (The
tables that iproute2 ships for pareto have neither mean 0 nor deviation 1; these have.)
"""

from functools import lru_cache
from typing import Literal, get_args

Distribution = Literal["normal", "pareto", "uniform"]
DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)

SCALE = 8192
TABLE_LENGTH = 4096
"""As long as iproute2's; the kernel takes up to 16,384."""

LARGEST_DEVIATION = 32_767 / SCALE
_PARETO_SHAPE = 3.0
"""As in iproute2's ``maketable``: the smallest whole shape whose variance is finite."""
_ROUNDS = 30


@lru_cache
def table(distribution: Distribution) -> tuple[int, ...]:
    """The distribution's quantiles at the middle of ``TABLE_LENGTH`` equal steps, scaled by 8192, ascending."""
    from statistics import NormalDist  # loads fractions and decimal: only for who needs a table

    steps = [(index + 0.5) / TABLE_LENGTH for index in range(TABLE_LENGTH)]
    if distribution == "uniform":
        values = [2 * step - 1 for step in steps]
    elif distribution == "normal":
        values = _standardised([NormalDist().inv_cdf(step) for step in steps])
    else:
        values = _standardised([(1 - step) ** (-1 / _PARETO_SHAPE) for step in steps])
    return tuple(round(value * SCALE) for value in values)


def _standardised(values: list[float]) -> list[float]:
    """Mean 0 and deviation 1 inside of what 16 bits hold: cutting the tail changes both, so cut and scale in turn."""
    from statistics import fmean, pstdev

    for _ in range(_ROUNDS):
        mean, deviation = fmean(values), pstdev(values)
        values = [max(-LARGEST_DEVIATION, min(LARGEST_DEVIATION, (value - mean) / deviation)) for value in values]
    return values
