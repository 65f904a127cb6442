"""What the medians of a cell would have been had it drawn its requests again (Efron 1979).

Requests are drawn anew within each candidate; the candidates stay, they were chosen and not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.results.schema import TERMS, TIER_TERMS, Key, Sample
from harness.validation.statistics import by_candidate

Array = NDArray[np.float64]

#: Columns of every array here: the terms, what lies between them, their sum, and of it what no tier accounts for.
OTHER, TOTAL, NETWORK = "other", "total", "network"
COLUMNS = (*TERMS, OTHER, TOTAL, NETWORK)
#: The ends of a 95 % interval are then known to about a tenth of its width.
RESAMPLES = 1000


@dataclass(frozen=True)
class Draws:
    """Medians by candidate, in ms; NaN where a candidate has no such term.

    keys: of the measured candidates, in the order of the first axis below.
    counts: requests behind each; [candidate].
    medians: as measured; [candidate, column], columns as in `COLUMNS`.
    resampled: the same of each drawing; [candidate, drawing, column].
    halves: medians of the odd, the even, the first and the last half of the requests; [4, candidate, column].
        A candidate with a single request has it in all four.
    """

    keys: tuple[Key, ...]
    counts: NDArray[np.int64]
    medians: Array
    resampled: Array
    halves: Array

    def of(self, name: str) -> Array:
        """Medians of one column as measured: [candidate]."""
        return np.asarray(self.medians[:, COLUMNS.index(name)])

    def drawn(self, name: str, chosen: NDArray[np.bool_]) -> Array:
        """Resampled medians of one column of the chosen candidates: [drawing, candidate]."""
        return np.asarray(self.resampled[chosen][:, :, COLUMNS.index(name)].T)

    def wavering_ms(self, name: str, chosen: NDArray[np.bool_]) -> float:
        """By how much a column wavered as a whole, which drawing requests one by one does not show.

        Half the mean difference over the chosen candidates ([candidate] booleans, at least one of them true) of odd
        and even requests, or of the first and the last: the larger. Half, since the median of all lies between.
        """
        odd, even, first, last = self.halves[:, chosen, COLUMNS.index(name)]
        return float(max(abs(np.mean(odd - even)), abs(np.mean(last - first)))) / 2


def draw(samples: Sequence[Sample], seed: int, *, resamples: int = RESAMPLES) -> Draws:
    """Draw every candidate's requests again, `resamples` times. The same seed gives the same draws."""
    random = np.random.default_rng(seed)
    grouped = by_candidate(samples)
    medians = np.full((len(grouped), len(COLUMNS)), np.nan)
    resampled = np.full((len(grouped), resamples, len(COLUMNS)), np.nan)
    halves = np.full((4, len(grouped), len(COLUMNS)), np.nan)
    for place, own in enumerate(grouped.values()):
        values, known = _values(own)
        drawn = random.integers(0, len(own), (resamples, len(own)))
        medians[place, known] = np.median(values, axis=0)
        resampled[place][:, known] = np.median(values[drawn], axis=1)
        half = len(own) // 2
        parts = (values[0::2], values[1::2], values[:half], values[len(own) - half :])
        for number, part in enumerate(parts):
            halves[number, place, known] = np.median(part if half else values, axis=0)
    counts = np.array([len(own) for own in grouped.values()], dtype=np.int64)
    return Draws(tuple(grouped), counts, medians, resampled, halves)


def _values(own: Sequence[Sample]) -> tuple[Array, list[int]]:
    """Times of one candidate's requests, [request, known column], and which columns these are.

    A term that not every request has is left out: what is missing is judged elsewhere.
    """
    known = [term for term in TERMS if all(term in sample.terms for sample in own)]
    closed = all(sample.closed for sample in own)
    rows = [
        [
            *(sample.terms[term] for term in known),
            *([sample.other_ms] if closed else []),
            sample.total_ms,
            sample.total_ms - sum(sample.terms.get(term, 0.0) for term in TIER_TERMS),
        ]
        for sample in own
    ]
    names = (*known, *([OTHER] if closed else []), TOTAL, NETWORK)
    return np.array(rows, dtype=np.float64), [COLUMNS.index(name) for name in names]


def interval(estimate: float, resampled: Array) -> tuple[float, float]:
    """The 95 % interval of a statistic by the basic bootstrap: its drawings mirrored at the estimate.

    Noise makes a mean of absolute errors too large, once in the estimate and once more in the drawings; mirrored,
    the interval takes that off again. It always holds the estimate, which a mirrored one need not.

    Args:
        resampled: the statistic of each drawing; [drawing].
    """
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(min(2 * estimate - high, estimate)), float(max(2 * estimate - low, estimate))
