"""Times of all heads, or of all tails, from a few measured ones: a curve through the anchors, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.prediction.profile import TierProfile

Array = NDArray[np.float64]

#: Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom (any table of it); then the normal's.
_STUDENT_T95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_NORMAL95 = 1.96


@dataclass(frozen=True)
class Curve:
    """Time in ms by cut index, and half the 95 % interval of what interpolation may be off by, in ms likewise."""

    time_ms: dict[int, float]
    error_ms: dict[int, float]


def through_anchors(profile: TierProfile, anchors: dict[int, float], *, reverse: bool) -> Curve:
    """Times of all heads (or, with `reverse`, tails) from the measured ones.

    Between anchors, time grows with the sum of the fine blocks, each less what a call of its own costs. Before
    the first anchor it starts at the cost of a call; beyond the last the nearest stretch goes on.

    Args:
        profile: of the tier.
        anchors: measured time in ms by cut index; a head at the last layer, or a tail at 0, is the whole model.
    """
    whole = anchors.get(0 if reverse else profile.last)
    work_ms, call_ms = without_calls(np.asarray(profile.block_ms), whole)
    cumulative = np.concatenate(([0.0], np.cumsum(work_ms)))
    indices = [0, *(cut.index for cut in profile.cuts), profile.last]
    at = (cumulative[-1] - cumulative) if reverse else cumulative
    x_of = dict(zip(indices, at, strict=True))
    points = sorted((float(x_of[index]), ms) for index, ms in anchors.items() if index in x_of)
    if points[0][0] > 0.0:
        points.insert(0, (0.0, call_ms))  # no layers at all still cost a call
    x, y = (np.array(column) for column in zip(*points, strict=True))
    times, errors = line_through(at, x, y), _bridge_error_ms(at, x, y)
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


def line_through(at: Array, x: Array, y: Array) -> Array:
    """Piecewise linear through the points; beyond the last one its stretch goes on. Never below 0."""
    inside = np.interp(at, x, y)
    if len(x) < 2:
        return np.maximum(inside, 0.0)
    last = (y[-1] - y[-2]) / max(x[-1] - x[-2], 1e-9)
    return np.maximum(np.where(at > x[-1], y[-1] + last * (at - x[-1]), inside), 0.0)


def student_t95(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's t for 1 or more degrees of freedom; the normal's beyond the table."""
    return _STUDENT_T95[degrees - 1] if degrees <= len(_STUDENT_T95) else _NORMAL95


def _bridge_error_ms(at: Array, x: Array, y: Array) -> Array:
    """Half the 95 % interval of the curve at `at`, from leaving each inner anchor out in turn.

    What a sum of blocks misses adds up along the network like a random walk, which the anchors pin down: between
    two of them, a and b ms away, it is a Brownian bridge of variance s^2 a b / (a + b); beyond the last, a free
    walk of variance s^2 a. An anchor left out shows one such bridge, hence s. So few of them need Student's t.
    """
    missed, bridges = [], []
    for i in range(1, len(x) - 1):
        left, right = x[i] - x[i - 1], x[i + 1] - x[i]
        missed.append(float(line_through(x[i : i + 1], np.delete(x, i), np.delete(y, i))[0]) - y[i])
        bridges.append(left * right / max(left + right, 1e-12))
    if not missed or sum(bridges) <= 0.0:
        return np.zeros_like(at)
    # A ratio of sums: anchors that stand close together show the noise of a median, not the walk.
    walk = float(np.sum(np.square(missed)) / np.sum(bridges))
    below = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 1)
    above = np.minimum(below + 1, len(x) - 1)
    left, right = np.maximum(at - x[below], 0.0), np.maximum(x[above] - at, 0.0)
    bridge = np.where(above > below, left * right / np.maximum(left + right, 1e-12), left)
    return np.asarray(student_t95(len(missed)) * np.sqrt(walk * bridge))
