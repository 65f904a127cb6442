"""Both predictors against worlds whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.prediction.blocks import fine_cumulative_ms, scission_cumulative_ms
from harness.prediction.predictors import fit, interval_ms, paper, predict, total_ms
from harness.prediction.profile import Profiles
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


@given(world=worlds, slowdown=slowdowns, mbps=st.floats(1, 200), rtt=st.floats(0, 100))
@settings(max_examples=30)
def test_paper_is_equations_1_to_6(world: World, slowdown: float, mbps: float, rtt: float) -> None:
    profiles, rows, link = world.profiles(), world.rows(), make_link(mbps, rtt)
    found = paper(profiles, link, rows, slowdown=slowdown)
    assert found.keys() == {row.key for row in rows if row.key.candidate == "device-only" or row.payload_bytes}
    device, edge = profiles.device, profiles.edge
    sizes = {row.key: row.payload_bytes for row in rows}
    assert found[Key("device-only")] == {"paper_ms": pytest.approx(slowdown * sum(device.scission_block_ms))}
    for name in ("float32", "uint8", "jpeg"):
        key = Key("edge-only", None, "none", name)
        serial = slowdown * device.codec_ms[str(key)]["serialize"] + edge.codec_ms[str(key)]["deserialize"]
        transfer = rtt + sizes[key] * 8 / (mbps * 1e3)
        assert found[key] == {"paper_ms": pytest.approx(serial + transfer + sum(edge.scission_block_ms))}
    theirs = [cut for cut in device.cuts if cut.scission_cut]
    for place, cut in enumerate(theirs):
        head = slowdown * sum(device.scission_block_ms[: place + 1])
        tail = sum(edge.scission_block_ms[place + 1 :])
        orig, pooled = Key("split", cut.index, "none"), Key("split", cut.index, "maxpool")
        own_device, own_edge = device.codec_ms[str(orig)], edge.codec_ms[str(orig)]
        s_orig = slowdown * own_device["serialize"] + own_edge["deserialize"]
        c_orig = rtt + sizes[orig] * 8 / (mbps * 1e3)
        assert found[orig] == {"paper_ms": pytest.approx(head + s_orig + c_orig + tail)}
        if len(cut.shape) != 3:
            assert pooled not in found
            continue
        own_device, own_edge = device.codec_ms[str(pooled)], edge.codec_ms[str(pooled)]
        e_tl = slowdown * own_device["device_tl"] + own_edge["edge_tl"]
        s_tl = slowdown * own_device["serialize"] + own_edge["deserialize"]
        c_tl = rtt + sizes[pooled] * 8 / (mbps * 1e3)
        assert found[pooled] == {
            "paper_ms": pytest.approx(head + e_tl + s_tl + c_tl + tail),
            "e_tl_ms": pytest.approx(e_tl),
            "s_tl_ms": pytest.approx(s_tl),
            "c_tl_ms": pytest.approx(c_tl),
            "s_orig_ms": pytest.approx(s_orig),
            "c_orig_ms": pytest.approx(c_orig),
            "delta_t_ms": pytest.approx((s_orig + c_orig) - (e_tl + s_tl + c_tl)),
        }
        gain = found[orig]["paper_ms"] - found[pooled]["paper_ms"]
        assert found[pooled]["delta_t_ms"] == pytest.approx(gain, abs=1e-9)


# -- the calibrated predictor ---------------------------------------------------------------------------


def totals(profiles: Profiles, rows: list[Row], slowdown: float, mbps: float = 57.0) -> dict[Key, float]:
    parameters = fit(profiles)
    predicted = predict(parameters, make_link(mbps), rows, slowdown=slowdown)
    return {key: total_ms(parameters, terms) for key, terms in predicted.items()}


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
    predicted = predict(fit(world.profiles()), make_link(), world.rows(), slowdown=slowdown)
    plain = [predicted[Key("split", cut.index, "none")] for cut in world.cut_records]
    for earlier, later in itertools.pairwise(plain):
        assert earlier["device"] <= later["device"] + 1e-9
        assert earlier["edge"] >= later["edge"] - 1e-9
    assert plain[-1]["device"] <= predicted[Key("device-only")]["device"] + 1e-9
    assert plain[0]["edge"] <= predicted[Key("edge-only")]["edge"] + 1e-9


@given(world=worlds, slowdown=slowdowns)
@settings(max_examples=20)
def test_slowdown_stretches_the_device_and_nothing_else(world: World, slowdown: float) -> None:
    parameters, rows = fit(world.profiles()), world.rows()
    one, slow = (predict(parameters, make_link(), rows, slowdown=factor) for factor in (1.0, slowdown))
    for key, terms in one.items():
        for term, ms in terms.items():
            factor = slowdown if term in ("device", "device_tl", "serialize") else 1.0
            assert slow[key][term] == pytest.approx(factor * ms)


@given(world=worlds)
@settings(max_examples=20)
def test_more_bandwidth_never_costs_time(world: World) -> None:
    profiles, rows = world.profiles(), world.rows()
    slow, fast = totals(profiles, rows, 10.0, mbps=10), totals(profiles, rows, 10.0, mbps=57)
    assert all(fast[key] <= slow[key] for key in slow)


def test_a_candidate_has_the_terms_that_it_needs() -> None:
    predicted = predict(fit(World().profiles()), make_link(), World().rows(), slowdown=10.0)
    sent = {"serialize", "uplink", "queue", "deserialize", "edge", "downlink"}
    assert predicted[Key("device-only")].keys() == {"device"}
    assert predicted[Key("edge-only", None, "none", "jpeg")].keys() == sent
    assert predicted[Key("split", 4, "none")].keys() == sent | {"device"}
    assert predicted[Key("split", 4, "maxpool")].keys() == sent | {"device", "device_tl", "edge_tl"}


def test_fresh_anchors_move_the_prediction_with_them() -> None:
    world = World()
    slower = World()
    slower.block_ms = 1.1 * world.block_ms
    parameters = fit(world.profiles(), slower.profiles().calibration)
    for row in world.rows():
        for key, terms in predict(parameters, make_link(), [row], slowdown=10.0).items():
            assert total_ms(parameters, terms) == pytest.approx(slower.total_ms(row, make_link(), 10.0), rel=0.03), key


def test_the_interval_holds_the_prediction_and_never_falls_below_zero() -> None:
    parameters = fit(World().profiles())
    for terms in predict(parameters, make_link(), World().rows(), slowdown=10.0).values():
        low, high = interval_ms(parameters, terms)
        assert 0 <= low < total_ms(parameters, terms) < high


@pytest.mark.parametrize("anchors", [1, 2, 12])
def test_any_number_of_anchors_is_enough_for_a_line(anchors: int) -> None:
    world = World(cuts=12)
    found = totals(world.profiles(anchors), world.rows(), 10.0)
    for row in world.rows():
        if row.key in found:
            assert found[row.key] == pytest.approx(world.total_ms(row, make_link(), 10.0), rel=1e-6)
