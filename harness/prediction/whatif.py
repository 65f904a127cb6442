"""Which candidate wins where: predictions over a grid of links and device speeds (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.prediction.link_theory import Array, Link, LinkPoint
from harness.prediction.predictors.base import Connection, Model, Table
from harness.results.schema import Key, Row

#: Predictions made at once: some 10 MB an array.
_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Axes:
    """The values that a grid takes: uplink rate (Mbit/s), round trip (ms), pace of the device."""

    bandwidth_mbps: tuple[float, ...]
    rtt_ms: tuple[float, ...]
    slowdown: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """[bandwidth, rtt, slowdown]."""
        return len(self.bandwidth_mbps), len(self.rtt_ms), len(self.slowdown)

    def points(self) -> tuple[Array, Array, Array]:
        """The grid's points, each axis flattened in C order; shape [points]."""
        mesh = np.meshgrid(self.bandwidth_mbps, self.rtt_ms, self.slowdown, indexing="ij")
        bandwidth, rtt, slowdown = (np.asarray(axis, dtype=np.float64).ravel() for axis in mesh)
        return bandwidth, rtt, slowdown


@dataclass(frozen=True)
class Winners:
    """The best candidates at every point of a grid. Arrays are [bandwidth, rtt, slowdown]; times in ms.

    keys: the candidates that the indices name.
    best, second: indices of the fastest and the next; `second` is -1 where there is only one.
    best_ms, second_ms: what they take; NaN where there is no second.
    """

    axes: Axes
    keys: tuple[Key, ...]
    best: NDArray[np.int64]
    best_ms: Array
    second: NDArray[np.int64]
    second_ms: Array

    def shares(self) -> dict[Key, float]:
        """The share of the grid that each winner wins, the largest first."""
        index, count = np.unique(self.best, return_counts=True)
        order = np.argsort(-count, kind="stable")
        return {self.keys[int(index[place])]: float(count[place] / self.best.size) for place in order}


def winners(
    model: Model,
    rows: Sequence[Row],
    axes: Axes,
    link: Link,
    *,
    connection: Connection = "warm",
    silence_ms: float = 0.0,
) -> Winners:
    """Predict every feasible row at every point, and keep who wins.

    Args:
        rows: every candidate; those that are not feasible do not compete.
        link: what the points share: all but the uplink's rate and the round trip.
        connection, silence_ms: of every request, see `Model.predict`.

    Raises:
        ValueError: no row is feasible.
    """
    competing = [row for row in rows if row.feasible]
    if not competing:
        raise ValueError("no candidate is feasible, so none can win; allowed: constraints that leave one")

    def totals(bandwidth_mbps: Array, rtt_ms: Array, slowdown: Array) -> Table:
        points = LinkPoint.of(link, rate_up_mbps=bandwidth_mbps, rtt_ms=rtt_ms)
        return model.predict(points, competing, slowdown=slowdown, connection=connection, silence_ms=silence_ms)

    parts = [_best_two(totals(*points)) for points in _chunks(axes, len(competing))]
    keys = parts[0][0]
    best, best_ms, second, second_ms = (
        np.concatenate([part[place] for part in parts]).reshape(axes.shape) for place in range(1, 5)
    )
    return Winners(axes, keys, best, best_ms, second, second_ms)


def _chunks(axes: Axes, candidates: int) -> Iterator[tuple[Array, Array, Array]]:
    points = axes.points()
    step = max(1, _AT_ONCE // candidates)
    for start in range(0, points[0].size, step):
        yield tuple(axis[start : start + step] for axis in points)  # type: ignore[misc]


def _best_two(found: Table) -> tuple[tuple[Key, ...], NDArray[np.int64], Array, NDArray[np.int64], Array]:
    """All keys, and by point the place among them and the time (ms) of the best and of the second best."""
    total = found.total_ms  # [candidate, point]
    if total.shape[0] == 1:
        nothing = np.full(total.shape[1], -1)
        return found.keys, np.zeros(total.shape[1], dtype=np.int64), total[0], nothing, np.full(total.shape[1], np.nan)
    two = np.argpartition(total, 1, axis=0)[:2]
    times = np.take_along_axis(total, two, axis=0)
    order = np.argsort(times, axis=0, kind="stable")
    two, times = np.take_along_axis(two, order, axis=0), np.take_along_axis(times, order, axis=0)
    return found.keys, two[0], times[0], two[1], times[1]
