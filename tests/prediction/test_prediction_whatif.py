"""What-if grids, drift, and the speed of predictions over a grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.prediction import drift, predictors
from harness.prediction.predictors import Evidence
from harness.prediction.whatif import Axes, winners
from harness.results.schema import Key
from tests.prediction.synthetic_world import World, make_link

rates = st.lists(st.floats(1, 1000), min_size=1, max_size=4, unique=True).map(tuple)
trips = st.lists(st.floats(0, 200), min_size=1, max_size=3, unique=True).map(tuple)
paces = st.lists(st.floats(1, 50), min_size=1, max_size=3, unique=True).map(tuple)


@given(rates, trips, paces)
@settings(max_examples=25, deadline=None)
def test_each_point_of_a_grid_is_the_prediction_of_its_own_link(
    bandwidth: tuple[float, ...], rtt: tuple[float, ...], slowdown: tuple[float, ...]
) -> None:
    world = World()
    rows = world.rows()
    model = predictors.fit("calibrated", Evidence(world.profiles()))
    axes = Axes(bandwidth, rtt, slowdown)
    found = winners(model, rows, axes, make_link())
    assert found.best.shape == axes.shape
    for place in np.ndindex(axes.shape):
        link = make_link(bandwidth[place[0]], rtt[place[1]])
        alone = model.predict(link, rows, slowdown=slowdown[place[2]]).predictions()
        ranked = sorted(alone[row.key].total_ms for row in rows if row.feasible and row.key in alone)
        assert found.best_ms[place] == pytest.approx(ranked[0])
        assert found.second_ms[place] == pytest.approx(ranked[1])
        assert alone[found.keys[int(found.best[place])]].total_ms == pytest.approx(ranked[0])


def test_what_is_not_feasible_never_wins() -> None:
    world = World()
    rows = world.rows(min_split=10)
    model = predictors.fit("calibrated", Evidence(world.profiles()))
    found = winners(model, rows, Axes((1.0, 10.0, 100.0), (0.0, 28.0), (1.0, 10.0)), make_link())
    assert all(key.split is None or key.split >= 10 for key in found.shares())
    assert sum(found.shares().values()) == pytest.approx(1)


def test_a_lone_candidate_wins_everywhere_and_has_no_second() -> None:
    world = World()
    rows = [row for row in world.rows() if row.key == Key("device-only")]
    found = winners(
        predictors.fit("calibrated", Evidence(world.profiles())), rows, Axes((1.0,), (1.0,), (2.0,)), make_link()
    )
    assert found.shares() == {Key("device-only"): 1.0}
    assert (found.second == -1).all()
    assert np.isnan(found.second_ms).all()


def test_a_grid_without_a_feasible_candidate_is_refused() -> None:
    world = World()
    rows = world.rows()
    for row in rows:
        row.feasible = False
    model = predictors.fit("calibrated", Evidence(world.profiles()))
    with pytest.raises(ValueError, match="no candidate is feasible"):
        winners(model, rows, Axes((1.0,), (1.0,), (2.0,)), make_link())


@given(st.floats(0.8, 1.25))
def test_a_host_that_slowed_down_shows_as_its_factor(factor: float) -> None:
    world, later = World(), World()
    later.block_ms = factor * world.block_ms
    ratio = drift.between(world.profiles().calibration, later.profiles().calibration)
    assert ratio == pytest.approx(math.log(factor), abs=1e-9)


@given(st.lists(st.floats(-0.1, 0.1), max_size=20))
def test_drift_says_nothing_of_few_observations_and_widens_with_what_was_seen(observed: list[float]) -> None:
    found = drift.relative_error(observed)
    if len(observed) < drift.FEWEST:
        assert found is None
        return
    assert found is not None
    assert found >= 1.96 * float(np.sqrt(np.mean(np.square(observed)))) * (1 - 1e-9)
    assert drift.relative_error([2 * each for each in observed]) == pytest.approx(2 * found)


def test_drift_widens_the_interval_and_moves_nothing_else() -> None:
    world = World()
    still, moved = (
        predictors.fit("calibrated", Evidence(world.profiles(), drift_error=error))
        .predict(make_link(), world.rows(), slowdown=10.0)
        .predictions()
        for error in (0.0, 0.05)
    )
    for key, own in still.items():
        assert moved[key].total_ms == own.total_ms
        assert moved[key].low_ms < own.low_ms
        assert moved[key].high_ms > own.high_ms


def test_a_grid_is_of_the_connection_that_is_asked_for() -> None:
    world = World()
    model, rows = predictors.fit("calibrated", Evidence(world.profiles())), world.rows()
    axes = Axes((57.0,), (28.0,), (1.0,))
    sent = [row for row in rows if row.key.split == 4]
    warm, new = (winners(model, sent, axes, make_link(57, 28), connection=how) for how in ("warm", "new"))
    assert new.best_ms[0, 0, 0] >= warm.best_ms[0, 0, 0] + 2 * 28 - 1e-9
