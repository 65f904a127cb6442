"""Times of all heads, or of all tails, from a few measured ones: a curve through the anchors, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.prediction.profile import TierProfile

Array = NDArray[np.float64]

#: Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom (any table of it).
_STUDENT_T95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_NORMAL95 = 1.96


#: Anchors that a trend and a walk can be told apart from.
_FEWEST = 4
#: No anchor is known better than this (relative); without any noise the walk would have to explain everything.
_LEAST_NOISE = 1e-3
#: Keeps the covariance invertible where two anchors fall together, ms^2.
_JITTER = 1e-12


@dataclass(frozen=True)
class Curve:
    """Time in ms by cut index, and half the 95 % interval of what interpolation may be off by, in ms likewise."""

    time_ms: dict[int, float]
    error_ms: dict[int, float]


def through_anchors(profile: TierProfile, anchors: dict[int, float], noise: float, *, reverse: bool) -> Curve:
    """Times of all heads (or, with `reverse`, tails) from the measured ones.

    Time grows with the sum of the fine blocks, each less what a call of its own costs. What that sum misses adds up
    along the network like a random walk, and the anchors pin it down as well as they were measured: universal
    kriging with a linear trend (Cressie, Statistics for Spatial Data, 1993, ch. 3.4) on a Brownian walk.

    Args:
        profile: of the tier.
        anchors: measured time in ms by cut index; a head at the last layer, or a tail at 0, is the whole model.
        noise: relative standard error of an anchor's time.
    """
    whole = anchors.get(0 if reverse else profile.last)
    work_ms, call_ms = without_calls(np.asarray(profile.block_ms), whole)
    cumulative = np.concatenate(([0.0], np.cumsum(work_ms)))
    indices = [0, *(cut.index for cut in profile.cuts), profile.last]
    at = (cumulative[-1] - cumulative) if reverse else cumulative
    x_of = dict(zip(indices, at, strict=True))
    points = sorted((float(x_of[index]), ms) for index, ms in anchors.items() if index in x_of)
    if len(points) < _FEWEST:
        points.insert(0, (0.0, call_ms))  # no layers at all still cost a call
    x, y = (np.array(column) for column in zip(*points, strict=True))
    times, errors = _krige(at, x, y, np.maximum(noise, _LEAST_NOISE) * y) if len(x) >= _FEWEST else _line(at, x, y)
    return Curve(
        {index: float(ms) for index, ms in zip(indices, times, strict=True)},
        {index: float(ms) for index, ms in zip(indices, errors, strict=True)},
    )


def without_calls(block_ms: Array, whole_ms: float | None) -> tuple[Array, float]:
    """Blocks less what calling each alone adds, the same for each, so that they sum to the whole; and that cost.

    Run one by one the blocks of DenseNet169 sum to 1.5 times the model: every call has a cost, and what is fused
    into a neighbour (a lone batch normalisation, a padding) is paid for in full. A block keeps at least a tenth.
    """
    if whole_ms is None or whole_ms >= block_ms.sum():
        return block_ms, 0.0
    low, high = 0.0, float(block_ms.max())
    for _ in range(60):
        cost = (low + high) / 2
        if np.maximum(block_ms - cost, block_ms / 10).sum() > whole_ms:
            low = cost
        else:
            high = cost
    return np.maximum(block_ms - high, block_ms / 10), high


def student_t95(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's t for 1 or more degrees of freedom.

    Beyond the table z + (z^3 + z) / (4 n) + (5 z^5 + 16 z^3 + 3 z) / (96 n^2), the first terms of its expansion about
    the normal's z (Abramowitz and Stegun 26.7.5), off by less than 0.002 there.
    """
    if degrees <= len(_STUDENT_T95):
        return _STUDENT_T95[degrees - 1]
    z = _NORMAL95
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def _line(at: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Through the points, on beyond the last, never below 0; and how far off that may be at most.

    Too few points to estimate a deviation from, but a longer head cannot be faster: between two of them the time lies
    between theirs. Beyond the last one nothing holds it from above: as far off as it was drawn on.
    """
    last = (y[-1] - y[-2]) / max(x[-1] - x[-2], 1e-9) if len(x) > 1 else 0.0
    times = np.maximum(np.where(at > x[-1], y[-1] + last * (at - x[-1]), np.interp(at, x, y)), 0.0)
    right = np.searchsorted(x, at)  # the first point at or beyond
    above = np.where(right < len(x), y[np.minimum(right, len(x) - 1)], times)
    below = np.where(np.isin(at, x), times, y[np.maximum(right - 1, 0)])
    return times, np.maximum(np.abs(above - times), np.abs(times - below))


def _krige(at: Array, x: Array, y: Array, noise_ms: Array) -> tuple[Array, Array]:
    """Best linear unbiased prediction at `at`, never falling with x, and half its 95 % interval.

    The walk's variance is the one that makes the anchors most likely (restricted likelihood, over a grid).
    """
    trend = np.column_stack([np.ones_like(x), x])
    candidates = [_Fit.of(x, y, trend, noise_ms, variance) for variance in _variances(x, y)]
    best = max(candidates, key=lambda fit: fit.likelihood)
    order = np.argsort(at, kind="stable")
    times, deviations = best.predict(at, x, y, trend)
    rising = np.empty_like(times)
    rising[order] = np.maximum.accumulate(np.maximum(times[order], 0.0))
    return rising, student_t95(len(x) - 2) * deviations


def _variances(x: Array, y: Array) -> Array:
    """Variances of the walk to try, ms^2 per ms: from one that is lost in any noise to one that follows anything."""
    span = max(float(x.max() - x.min()), 1e-9)
    return np.concatenate(([0.0], float(y.max()) ** 2 / span * np.logspace(-8, 0, 33)))


@dataclass(frozen=True)
class _Fit:
    """One variance of the walk: its restricted likelihood, and what prediction needs."""

    variance: float
    likelihood: float
    inverse: Array  # of the observations' covariance [anchor, anchor]
    coefficients: Array  # of the trend
    trend_covariance: Array

    @classmethod
    def of(cls, x: Array, y: Array, trend: Array, noise_ms: Array, variance: float) -> _Fit:
        covariance = variance * np.minimum(x[:, None], x[None, :]) + np.diag(np.square(noise_ms) + _JITTER)
        inverse = np.linalg.inv(covariance)
        information = trend.T @ inverse @ trend
        trend_covariance = np.linalg.inv(information)
        coefficients = trend_covariance @ (trend.T @ inverse @ y)
        rest = y - trend @ coefficients
        likelihood = -0.5 * (
            np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1] + float(rest @ inverse @ rest)
        )
        return cls(variance, float(likelihood), inverse, coefficients, trend_covariance)

    def predict(self, at: Array, x: Array, y: Array, trend: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the true time (without a measurement's noise) at `at`."""
        between = self.variance * np.minimum(at[:, None], x[None, :])  # [at, anchor]
        basis = np.column_stack([np.ones_like(at), at])
        weights = between @ self.inverse
        mean = basis @ self.coefficients + weights @ (y - trend @ self.coefficients)
        unexplained = basis - weights @ trend
        variance = (
            self.variance * at
            - np.einsum("ij,ij->i", weights, between)
            + np.einsum("ij,jk,ik->i", unexplained, self.trend_covariance, unexplained)
        )
        return mean, np.sqrt(np.maximum(variance, 0.0))
