"""One quantity against its tolerance, in three states."""

from __future__ import annotations

import math
from dataclasses import dataclass

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"

#: More samples than this are not worth asking for: the machine would have changed meanwhile.
_MOST_SAMPLES = 1000


@dataclass(frozen=True)
class Judgement:
    """What became of one quantity. Fractions where `unit` is `fraction`, else ms.

    quantity: a statistic of the total, or a term.
    low, high: 95 % interval of the estimate.
    samples: requests per candidate behind it, the fewest.
    samples_needed: how many would decide; None where it is decided or no number would.
    reason: one line; empty for a pass.
    """

    quantity: str
    verdict: str
    estimate: float
    low: float
    high: float
    tolerance: float
    unit: str
    samples: int
    samples_needed: int | None = None
    reason: str = ""


def verdict_of(low: float, high: float, tolerance: float, slack: float = 0.0) -> str:
    """`pass` when the interval lies within +- tolerance, `fail` when outside by more than `slack`.

    Args:
        low, high: ends of the interval of a signed or an absolute error.
        slack: by how much the measurement itself wavers, in the unit of the tolerance.
    """
    if -tolerance <= low and high <= tolerance:
        return PASS
    if low > tolerance + slack or high < -tolerance - slack:
        return FAIL
    return INCONCLUSIVE


def samples_needed(estimate: float, low: float, high: float, tolerance: float, samples: int) -> int | None:
    """How many samples a candidate would put the interval on one side of the tolerance.

    Its width goes with 1 / sqrt(samples), its middle stays where it is. None where the estimate stands on the
    tolerance, or where more than a thousand would be needed.
    """
    width, distance = max(high - estimate, estimate - low), abs(tolerance - abs(estimate))
    if distance <= 0:
        return None
    needed = math.ceil(samples * (width / distance) ** 2)
    return max(needed, samples + 1) if needed <= _MOST_SAMPLES else None
