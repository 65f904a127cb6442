"""Predictors against worlds whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction import predictors
from harness.prediction.blocks import fine_cumulative_ms, scission_cumulative_ms
from harness.prediction.predictors import Evidence, Prediction
from harness.prediction.predictors.paper import equations
from harness.prediction.profile import Calibration, Profiles
from harness.results.schema import Key, Row
from tests.prediction.synthetic_world import World, make_link

worlds = st.builds(
    World,
    cuts=st.integers(6, 40),
    call_ms=st.floats(0, 0.5),
    in_request_ms=st.floats(0, 0.5),
    edge_factor=st.floats(0.1, 2),
    seed=st.integers(0, 1000),
)
slowdowns = st.floats(1, 50)


def predict(
    profiles: Profiles,
    rows: list[Row],
    slowdown: float = 10.0,
    *,
    mbps: float = 57.0,
    rtt_ms: float = 28.0,
    name: str = "calibrated",
    calibration: Calibration | None = None,
) -> dict[Key, Prediction]:
    model = predictors.fit(name, Evidence(profiles, calibration))
    return model.predict(make_link(mbps, rtt_ms), rows, slowdown=slowdown).predictions()


# -- blocks ---------------------------------------------------------------------------------------------


@given(worlds)
def test_scission_sums_at_their_cuts_are_plain_sums(world: World) -> None:
    profile = world.profiles().device
    found = scission_cumulative_ms(profile)
    plain = np.cumsum(profile.scission_block_ms)
    at = [place for place, cut in enumerate(profile.cuts) if cut.scission_cut]
    assert found[at] == pytest.approx(plain[:-1])
    assert found[-1] == pytest.approx(plain[-1])
    assert len(found) == len(fine_cumulative_ms(profile)) == world.cuts + 1
    assert (np.diff(found) >= 0).all()


# -- Eqs. 1 to 6 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["paper", "paper_eager"])
@given(world=worlds, slowdown=slowdowns, mbps=st.floats(1, 200), rtt=st.floats(0, 100))
@settings(max_examples=30)
def test_paper_is_equations_1_to_6(name: str, world: World, slowdown: float, mbps: float, rtt: float) -> None:
    profiles, rows = world.profiles(), world.rows()
    predicted = predict(profiles, rows, slowdown, mbps=mbps, rtt_ms=rtt, name=name)
    found = {key: own.total_ms for key, own in predicted.items()}
    solved = equations(predicted)
    assert found.keys() == {row.key for row in rows if row.key.candidate == "device-only" or row.payload_bytes}
    device, edge = profiles.device, profiles.edge
    eager = name == "paper_eager"
    on_device, on_edge = (tier.eager_scission_block_ms if eager else tier.scission_block_ms for tier in (device, edge))
    sizes = {row.key: row.payload_bytes for row in rows}
    assert found[Key("device-only")] == pytest.approx(slowdown * sum(on_device))
    for name in ("float32", "uint8", "jpeg"):
        key = Key("edge-only", None, "none", name)
        serial = slowdown * device.codec_ms[str(key)]["serialize"] + edge.codec_ms[str(key)]["deserialize"]
        transfer = rtt + sizes[key] * 8 / (mbps * 1e3)
        assert found[key] == pytest.approx(serial + transfer + sum(on_edge))
    theirs = [cut for cut in device.cuts if cut.scission_cut]
    for place, cut in enumerate(theirs):
        head = slowdown * sum(on_device[: place + 1])
        tail = sum(on_edge[place + 1 :])
        orig, pooled = Key("split", cut.index, "none"), Key("split", cut.index, "maxpool")
        own_device, own_edge = device.codec_ms[str(orig)], edge.codec_ms[str(orig)]
        s_orig = slowdown * own_device["serialize"] + own_edge["deserialize"]
        c_orig = rtt + sizes[orig] * 8 / (mbps * 1e3)
        assert found[orig] == pytest.approx(head + s_orig + c_orig + tail)
        assert orig not in solved
        if len(cut.shape) != 3:
            assert pooled not in found
            continue
        own_device, own_edge = device.codec_ms[str(pooled)], edge.codec_ms[str(pooled)]
        e_tl = slowdown * own_device["device_tl"] + own_edge["edge_tl"]
        s_tl = slowdown * own_device["serialize"] + own_edge["deserialize"]
        c_tl = rtt + sizes[pooled] * 8 / (mbps * 1e3)
        assert found[pooled] == pytest.approx(head + e_tl + s_tl + c_tl + tail)
        assert solved[pooled] == {
            "e_tl_ms": pytest.approx(e_tl),
            "s_tl_ms": pytest.approx(s_tl),
            "c_tl_ms": pytest.approx(c_tl),
            "s_orig_ms": pytest.approx(s_orig),
            "c_orig_ms": pytest.approx(c_orig),
            "delta_t_ms": pytest.approx((s_orig + c_orig) - (e_tl + s_tl + c_tl)),
        }
        assert solved[pooled]["delta_t_ms"] == pytest.approx(found[orig] - found[pooled], abs=1e-9)


# -- the calibrated predictor ---------------------------------------------------------------------------


def totals(profiles: Profiles, rows: list[Row], slowdown: float, mbps: float = 57.0) -> dict[Key, float]:
    return {key: own.total_ms for key, own in predict(profiles, rows, slowdown, mbps=mbps).items()}


@given(world=worlds, slowdown=slowdowns, mbps=st.floats(1, 200))
@settings(max_examples=40)
def test_a_world_that_is_the_sum_of_its_blocks_is_reproduced(world: World, slowdown: float, mbps: float) -> None:
    rows = world.rows()
    found = totals(world.profiles(), rows, slowdown, mbps)
    assert found.keys() == {row.key for row in rows if row.key.candidate == "device-only" or row.payload_bytes}
    for row in rows:
        if row.key in found:
            assert found[row.key] == pytest.approx(world.total_ms(row, make_link(mbps), slowdown), rel=1e-6)


@given(world=worlds, slowdown=slowdowns)
@settings(max_examples=20)
def test_heads_grow_and_tails_shrink_along_the_network(world: World, slowdown: float) -> None:
    predicted = {key: own.terms for key, own in predict(world.profiles(), world.rows(), slowdown).items()}
    plain = [predicted[Key("split", cut.index, "none")] for cut in world.cut_records]
    for earlier, later in itertools.pairwise(plain):
        assert earlier["device"] <= later["device"] + 1e-9
        assert earlier["edge"] >= later["edge"] - 1e-9
    assert plain[-1]["device"] <= predicted[Key("device-only")]["device"] + 1e-9
    assert plain[0]["edge"] <= predicted[Key("edge-only")]["edge"] + 1e-9


@given(world=worlds, slowdown=slowdowns)
@settings(max_examples=20)
def test_slowdown_stretches_the_device_and_nothing_else(world: World, slowdown: float) -> None:
    one, slow = (predict(world.profiles(), world.rows(), factor) for factor in (1.0, slowdown))
    for key, own in one.items():
        for term, ms in own.terms.items():
            factor = slowdown if term in ("device", "device_tl", "serialize") else 1.0
            assert slow[key].terms[term] == pytest.approx(factor * ms)


@given(world=worlds)
@settings(max_examples=20)
def test_more_bandwidth_never_costs_time(world: World) -> None:
    profiles, rows = world.profiles(), world.rows()
    slow, fast = totals(profiles, rows, 10.0, mbps=10), totals(profiles, rows, 10.0, mbps=57)
    assert all(fast[key] <= slow[key] for key in slow)


def test_a_candidate_has_the_terms_that_it_needs() -> None:
    predicted = {key: own.terms for key, own in predict(World().profiles(), World().rows()).items()}
    sent = {"serialize", "uplink", "queue", "deserialize", "edge", "downlink"}
    assert predicted[Key("device-only")].keys() == {"device"}
    assert predicted[Key("edge-only", None, "none", "jpeg")].keys() == sent
    assert predicted[Key("split", 4, "none")].keys() == sent | {"device"}
    assert predicted[Key("split", 4, "maxpool")].keys() == sent | {"device", "device_tl", "edge_tl"}


def test_fresh_anchors_move_the_prediction_with_them() -> None:
    world = World()
    slower = World()
    slower.block_ms = 1.1 * world.block_ms
    predicted = predict(world.profiles(), world.rows(), calibration=slower.profiles().calibration)
    for row in world.rows():
        if row.key in predicted:
            expected = slower.total_ms(row, make_link(), 10.0)
            assert predicted[row.key].total_ms == pytest.approx(expected, rel=0.03), row.key


@pytest.mark.parametrize("name", ["calibrated", "paper", "paper_eager"])
def test_the_interval_holds_the_prediction_and_never_falls_below_zero(name: str) -> None:
    for own in predict(World().profiles(), World().rows(), name=name).values():
        assert 0 <= own.low_ms < own.total_ms < own.high_ms
        assert own.total_ms <= own.p95_ms


@given(world=worlds, slowdown=slowdowns)
@settings(max_examples=20)
def test_the_total_is_the_sum_of_the_terms_and_what_lies_between(world: World, slowdown: float) -> None:
    for key, own in predict(world.profiles(), world.rows(), slowdown).items():
        between = 0.0 if key.candidate == "device-only" else world.other_ms
        assert own.total_ms == pytest.approx(sum(own.terms.values()) + between)


def test_an_unknown_predictor_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'calibrated'"):
        predictors.get("calibratd")


@pytest.mark.parametrize("anchors", [1, 2, 12])
def test_any_number_of_anchors_is_enough_for_a_line(anchors: int) -> None:
    world = World(cuts=12)
    found = totals(world.profiles(anchors), world.rows(), 10.0)
    for row in world.rows():
        if row.key in found:
            assert found[row.key] == pytest.approx(world.total_ms(row, make_link(), 10.0), rel=1e-6)
