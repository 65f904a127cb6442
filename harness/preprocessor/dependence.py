"""Distance correlation: how much of one sample of vectors another one tells, whatever the relation (NumPy).

Szekely, Rizzo, Bakirov (2007), "Measuring and testing dependence by correlation of distances", Annals of Statistics
35(6), 2769-2794; its bias in high dimension removed as in Szekely, Rizzo (2013), "The distance correlation t-test of
independence in high dimension", Journal of Multivariate Analysis 117, 193-213. A tensor has far more dimensions than
there are pictures, where the plain statistic goes to 1 even for independent samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Columns at a time while distances are summed up: bounds the memory to some 20 MB for 64 examples.
_CHUNK = 32_768
#: Least examples that the bias-corrected statistic is defined for.
LEAST = 4


def distances(sample: NDArray[np.generic]) -> Array:
    """Euclidean distances [n, n] between n examples, [n, ...] of any shape and type."""
    flat = np.asarray(sample).reshape(len(sample), -1)
    gram = np.zeros((len(flat), len(flat)))
    for start in range(0, flat.shape[1], _CHUNK):
        # In double precision: a root is taken of what may be next to nothing, where rounding would be seen.
        part = flat[:, start : start + _CHUNK].astype(np.float64)
        part -= part.mean(axis=0)  # distances stay; what is squared gets smaller
        gram += part @ part.T
    norms = np.diag(gram)
    squared = norms[:, None] + norms[None, :] - 2 * gram
    # Equal examples, for which rounding leaves a little.
    squared[squared < 1e-12 * max(norms.max(), 1e-300)] = 0.0
    found: Array = np.sqrt(squared)
    return found


def distance_correlation(x: Array, y: Array, *, corrected: bool = True) -> float:
    """Distance correlation of two samples, 0 (independent) to 1 (the same up to scale, rotation and shift).

    Args:
        x, y: distances [n, n] within each sample, examples in the same order (`distances`).
        corrected: without the bias of few examples in many dimensions; its square may come out below 0, which is 0.

    Returns:
        The square root of the (bias-corrected) squared distance correlation; 0 where a sample is constant.

    Raises:
        ValueError: different numbers of examples, or fewer than 4.
    """
    if x.shape != y.shape or len(x) < LEAST:
        raise ValueError(f"distances of {len(x)} and {len(y)} examples; allowed: as many in both, at least {LEAST}")
    center = _u_centered if corrected else _centered
    a, b = center(x), center(y)
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    if scale <= 0:
        return 0.0
    return math.sqrt(min(max(float((a * b).sum()) / scale, 0.0), 1.0))


def _centered(x: Array) -> Array:
    found: Array = x - x.mean(axis=0)[None, :] - x.mean(axis=1)[:, None] + x.mean()
    return found


def _u_centered(x: Array) -> Array:
    n = len(x)
    sums = x.sum(axis=0)
    found: Array = x - (sums[None, :] + sums[:, None]) / (n - 2) + x.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0.0)
    return found
