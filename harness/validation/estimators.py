"""The statistics of predicted against measured latency. DESIGN: "Statistics". Times in ms, errors fractions.

A statistic that cannot be computed (too few rows or samples) is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.results.schema import Key, Row

#: How `infeasible_because` names the constraint that `is_split` handles itself.
_MIN_SPLIT_KEY = "constraints.min_split"
_RESAMPLES = 2000  # the ends of a 95 % interval are then themselves known to about a tenth of its width


def bootstrap_median_interval(
    values: Sequence[float], seed: int, *, resamples: int = _RESAMPLES
) -> tuple[float, float]:
    """The 95 % interval of the median of `values`, by the percentile bootstrap (Efron 1979).

    Raises ValueError for no values at all. The same seed gives the same interval.
    """
    if not values:
        raise ValueError("the interval of a median needs at least one value, got none")
    array = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(seed).integers(0, array.size, (resamples, array.size))
    low, high = np.percentile(np.median(array[drawn], axis=1), (2.5, 97.5))
    return float(low), float(high)


def relative_errors(rows: Sequence[Row], column: str = "predicted_ms") -> list[float]:
    """(predicted - measured) / measured of every row that has both; `column` names the prediction."""
    pairs = ((getattr(row, column), row.measured_ms) for row in rows)
    return [(predicted - measured) / measured for predicted, measured in pairs if measured and predicted is not None]


def mape(errors: Sequence[float]) -> float | None:
    """Mean absolute percentage error, as a fraction."""
    return float(np.mean(np.abs(errors))) if errors else None


def p95_abs_error(errors: Sequence[float]) -> float | None:
    """The 95th percentile of the absolute errors."""
    return float(np.percentile(np.abs(errors), 95)) if errors else None


def bias(errors: Sequence[float]) -> float | None:
    """The mean error, signed: positive when the prediction is too slow."""
    return float(np.mean(errors)) if errors else None


def kendall_tau_b(predicted: Sequence[float], measured: Sequence[float], noise_floor: float = 0.0) -> float | None:
    """Kendall's tau-b (Kendall 1945); measured values nearer than `noise_floor` (a fraction) are ties.

    (concordant - discordant) / sqrt(pairs not tied in one * pairs not tied in the other). None where either
    side has nothing but ties.
    """
    x, y = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    first, second = np.triu_indices(x.size, k=1)
    by_x = np.sign(x[first] - x[second])
    by_y = np.sign(y[first] - y[second])
    near = np.abs(y[first] - y[second]) < noise_floor * np.minimum(np.abs(y[first]), np.abs(y[second]))
    by_y[near] = 0
    # the roots apart: their product stays exact where both counts are equal
    scale = float(np.sqrt(np.count_nonzero(by_x)) * np.sqrt(np.count_nonzero(by_y)))
    return float(np.clip(np.sum(by_x * by_y) / scale, -1.0, 1.0)) if scale else None


def _median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    return float(np.median(numerator) / np.median(denominator))


def _at_least_two(samples: Mapping[Key, Sequence[float]]) -> list[Sequence[float]]:
    return [totals for totals in samples.values() if len(totals) > 1]


def noise_floor(samples: Mapping[Key, Sequence[float]]) -> float | None:
    """Median over rows of |median of odd samples / median of even samples - 1|.

    Args:
        samples: for each row its totals in ms, in the order in which they were measured.
    """
    rows = _at_least_two(samples)
    return float(np.median([abs(_median_ratio(row[0::2], row[1::2]) - 1) for row in rows])) if rows else None


def drift(samples: Mapping[Key, Sequence[float]]) -> float | None:
    """Mean over rows of (median of the second half of its samples / median of the first half - 1).

    The middle one of an odd number belongs to neither half.
    """
    rows = _at_least_two(samples)
    ratios = [_median_ratio(row[-(len(row) // 2) :], row[: len(row) // 2]) - 1 for row in rows]
    return float(np.mean(ratios)) if ratios else None


def tau_aa(samples: Mapping[Key, Sequence[float]], noise_floor: float = 0.0) -> float | None:
    """The tau of odd against even samples: what a predictor as good as a second measurement would reach.

    The odd medians take the place of the prediction, so that it compares with `kendall_tau_b`.
    """
    rows = _at_least_two(samples)
    odd = [float(np.median(row[0::2])) for row in rows]
    even = [float(np.median(row[1::2])) for row in rows]
    return kendall_tau_b(odd, even, noise_floor)


def _both(rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Predicted, measured and split (0 for a baseline) of the rows that have both."""
    known = [row for row in rows if row.measured_ms and row.predicted_ms is not None]
    return (
        np.array([row.predicted_ms for row in known], dtype=float),
        np.array([row.measured_ms for row in known], dtype=float),
        np.array([row.key.split or 0 for row in known], dtype=np.int64),
    )


def _regret(predicted: NDArray[np.float64], measured: NDArray[np.float64], floor: float) -> float | None:
    if not predicted.size:
        return None
    lost = float(measured[np.argmin(predicted)] / np.min(measured) - 1)
    return 0.0 if lost < floor else lost


def is_split(row: Row, min_split: int = 0) -> bool:
    """A split at `min_split` or later that can be run and that the user allows.

    One that only `constraints.min_split` (the paper's privacy constraint) rules out can be run: it counts as
    soon as `min_split` here lets it, so that the same rows answer for every min_split.
    """
    allowed = row.feasible or _MIN_SPLIT_KEY in row.infeasible_because
    return allowed and row.key.split is not None and row.key.split >= min_split


def is_baseline(row: Row) -> bool:
    """Device-only or edge-only, where the user's constraints allow it."""
    return row.feasible and row.key.split is None


def regret(rows: Sequence[Row], noise_floor: float = 0.0, *, min_split: int = 0) -> float | None:
    """measured(best predicted) / measured(best measured) - 1 among the measured, feasible splits.

    0 when the two differ by less than `noise_floor`.
    """
    predicted, measured, _ = _both([row for row in rows if is_split(row, min_split)])
    return _regret(predicted, measured, noise_floor)


def regret_all(rows: Sequence[Row], noise_floor: float = 0.0, *, min_split: int = 0) -> float | None:
    """`regret` with device-only and edge-only among the choices."""
    choices = [row for row in rows if is_baseline(row) or is_split(row, min_split)]
    predicted, measured, _ = _both(choices)
    return _regret(predicted, measured, noise_floor)


def regret_by_min_split(rows: Sequence[Row], noise_floor: float = 0.0) -> float | None:
    """The mean of `regret` over min_split = 1..n, n the last measured split."""
    predicted, measured, splits = _both([row for row in rows if is_split(row)])
    values = [
        _regret(predicted[splits >= least], measured[splits >= least], noise_floor)
        for least in range(1, int(splits.max(initial=0)) + 1)
    ]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
