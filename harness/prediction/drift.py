"""How far a host's speed wanders between a profile and a later measurement: what a forecast has to reckon with.

Every validated cell compares the anchors behind its forecast with those interleaved with its requests. Their ratio
is one observation of that wandering; a forecast's interval widens by what the host has shown so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.prediction.curve import student_t95
from harness.prediction.profile import Calibration

#: With fewer observations a spread says nothing.
FEWEST = 3


def between(cached: Calibration, fresh: Calibration) -> float | None:
    """ln(fresh / cached) of the compute at the anchors that both have, the median of all; None without any."""
    ratios = [
        np.log(fresh.anchors[key][term] / own[term])
        for key, own in cached.anchors.items()
        for term in ("device", "edge")
        if key in fresh.anchors and own.get(term, 0.0) > 0.0 and fresh.anchors[key].get(term, 0.0) > 0.0
    ]
    return float(np.median(ratios)) if ratios else None


def relative_error(observed: Sequence[float]) -> float | None:
    """Half the 95 % interval of the next one, from those observed: none of them is a trend, so about 0.

    Returns None for fewer than `FEWEST`.
    """
    if len(observed) < FEWEST:
        return None
    rms = float(np.sqrt(np.mean(np.square(observed))))
    return student_t95(len(observed)) * rms * float(np.sqrt(1 + 1 / len(observed)))
