"""Predictions over a grid against a plain Python loop over the same formula, as a ratio measured side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest

from harness.prediction import predictors
from harness.prediction.link_theory import LinkPoint
from harness.prediction.predictors import Evidence
from tests.prediction.synthetic_world import World, make_link

PREDICTIONS = 1_000_000
LOOPED = 4_000
ROUNDS = 5
#: Seen: 60 to 120 on the build machine.
LEAST_RATIO = 20


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_a_million_predictions_cost_a_small_part_of_a_loop(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(cuts=103)
    rows = [row for row in world.rows() if row.payload_bytes is not None]
    model = predictors.fit(name, Evidence(world.profiles()))
    points = PREDICTIONS // len(rows) + 1
    random = np.random.default_rng(0)
    grid = LinkPoint.of(make_link(), rate_up_mbps=random.uniform(1, 100, points), rtt_ms=random.uniform(0, 100, points))
    few = rows[:: max(1, len(rows) // 20)]

    def loop() -> None:
        for place in range(LOOPED):
            row = few[place % len(few)]
            world.total_ms(row, make_link(10 + place % 90), 10.0)

    at_once, looped = [], []
    model.predict(grid, rows, slowdown=10.0)  # warm
    for _ in range(ROUNDS):
        at_once.append(seconds(lambda: model.predict(grid, rows, slowdown=10.0)) / (points * len(rows)))
        looped.append(seconds(loop) / LOOPED)
    ratio = median(looped) / median(at_once)
    with capsys.disabled():
        print(f"\n{name}: {median(at_once) * PREDICTIONS:.3f} s for 10^6 predictions, {ratio:.0f} times a loop's speed")
    assert ratio > LEAST_RATIO
