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

#: The terms that are a tier's compute, named as the tiers are.
COMPUTED = ("device", "edge")


def between(cached: Calibration, fresh: Calibration) -> float | None:
    """ln(fresh / cached) of the compute at the anchors that both have, the median of all; None without any."""
    ratios = [ratio for term in COMPUTED for ratio in _log_ratios(cached, fresh, term)]
    return float(np.median(ratios)) if ratios else None


def speed_change(cached: Calibration, fresh: Calibration) -> dict[str, float]:
    """By tier, how many times as long as in `cached` its compute takes in `fresh`: the median over common anchors."""
    found = {term: _log_ratios(cached, fresh, term) for term in COMPUTED}
    return {term: float(np.exp(np.median(ratios))) for term, ratios in found.items() if ratios}


def _log_ratios(cached: Calibration, fresh: Calibration, term: str) -> list[float]:
    return [
        float(np.log(fresh.anchors[key][term] / own[term]))
        for key, own in cached.anchors.items()
        if key in fresh.anchors and own.get(term, 0.0) > 0.0 and fresh.anchors[key].get(term, 0.0) > 0.0
    ]


def relative_error(observed: Sequence[float]) -> float | None:
    """Half the 95 % interval of the next one, from those observed: none of them is a trend, so about 0.

    Returns None for fewer than `FEWEST`.
    """
    if len(observed) < FEWEST:
        return None
    rms = float(np.sqrt(np.mean(np.square(observed))))
    return student_t95(len(observed)) * rms  # the mean is known, so nothing is added for estimating it
