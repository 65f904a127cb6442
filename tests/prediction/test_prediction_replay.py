"""Recordings as tables of what to spend: what is in them, what is estimated, what predictors make of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction.predictors import Evidence, fit
from harness.prediction.profile import Calibration, Profiles
from harness.prediction.recorded_pair import load_pair, load_single
from harness.prediction.recorded_replay import common_cuts, profile_of, recorded_sizes, recordings_from, recordings_of
from harness.prediction.recording import Recording, restricted, rows_of
from harness.results.schema import Key, Row
from netem.link import LinkSpec
from tests.prediction.recordings import recorded, toy_folder
from tests.prediction.synthetic_world import World

PICTURE = (8, 8, 3)
LINK = LinkSpec(rate_up_mbps=57.0, rate_down_mbps=1000.0, delay_up_ms=14.0, delay_down_ms=14.0)
NOTHING = Calibration(
    fingerprint={}, anchors={}, echoes={1: {"uplink_excess": 0.0, "queue": 0.0}}, downlink_excess_ms=0.0, other_ms=0.0,
    response_bytes=4000, compute_spread=0.0, network_spread_ms=0.0, compute_tail=0.0, network_tail_ms=0.0, link={},
)  # fmt: skip


@pytest.fixture
def toys(tmp_path: Path) -> dict[str, Recording]:
    pair = load_pair(toy_folder(tmp_path), "vgg16", device="tx2_gpu", edge="ampere", runtime="tf_eager")
    return recordings_of(pair, input_shape=PICTURE)


def test_heads_tails_and_transfer_layers_are_the_recorded_ones(toys: dict[str, Recording]) -> None:
    small = Key("split", 7, "maxpool")
    assert toys["device"].terms_ms[str(small)] == pytest.approx({"device": 30, "device_tl": 1, "serialize": 0.5})
    assert toys["edge"].terms_ms[str(small)] == pytest.approx({"deserialize": 0.5, "edge_tl": 2, "edge": 3.1})
    assert toys["device"].work_ms() == pytest.approx({2: 10, 7: 30, 8: 60, 9: 61})
    assert toys["edge"].work_ms() == pytest.approx({0: 6.1, 2: 5.1, 7: 3.1, 8: 0.1})
    assert toys["device"].payload_bytes[str(small)] == 10_000  # without the header of an .npy file
    assert not toys["device"].covers(Key("split", 8, "maxpool"))
    assert not toys["edge"].covers(Key("edge-only", None, "none", "jpeg"))


def test_what_nobody_recorded_is_an_estimate_and_nothing_else_is(toys: dict[str, Recording]) -> None:
    for tier, term in (("device", "serialize"), ("edge", "deserialize")):
        (estimate,) = toys[tier].estimates
        assert estimate.terms == (term,)
        assert {key.transfer_layer for key in estimate.candidates} == {"none"}
        assert "least squares" in estimate.method
        assert toys[tier].estimated(Key("split", 2, "none")) == (term,)
        assert toys[tier].estimated(Key("split", 2, "maxpool")) == ()
        assert toys[tier].estimated(Key("device-only")) == ()


def profiles(pair_folder: Path) -> Profiles:
    pair = load_pair(pair_folder, "vgg16", device="tx2_gpu", edge="ampere", runtime="tf_eager")
    own = recordings_of(pair, input_shape=PICTURE)
    made = {tier: profile_of(pair, each, input_shape=PICTURE) for tier, each in own.items()}
    return Profiles(made["device"], made["edge"], NOTHING, own)


@pytest.mark.parametrize("predictor", ["paper", "paper_eager", "calibrated"])
def test_every_predictor_takes_a_replayed_tier_at_its_word(tmp_path: Path, predictor: str) -> None:
    given_profiles = profiles(toy_folder(tmp_path))
    key = Key("split", 7, "maxpool")
    rows = [Row(Key("device-only")), Row(key, payload_bytes=10_000)]
    found = fit(predictor, Evidence(given_profiles)).predict(LINK, rows, slowdown=2.0).predictions()
    assert found[Key("device-only")].total_ms == pytest.approx(122)
    terms = found[key].terms
    assert (terms["device"], terms["device_tl"], terms["serialize"]) == pytest.approx((60, 2, 1))
    assert (terms["deserialize"], terms["edge_tl"], terms["edge"]) == pytest.approx((0.5, 2, 3.1))


def test_rows_are_those_that_can_be_replayed_and_say_so(toys: dict[str, Recording]) -> None:
    rows = [
        Row(Key("device-only")),
        Row(Key("edge-only", None, "none", "jpeg"), payload_bytes=5),
        Row(Key("split", 2, "maxpool"), payload_bytes=5),
        Row(Key("split", 2, "none"), payload_bytes=5),
        Row(Key("split", 4, "none"), payload_bytes=5),
        Row(Key("split", 8, "maxpool"), feasible=False),
    ]
    kept = {row.key: row for row in rows_of(rows, toys)}
    assert [key.split for key in kept] == [None, 2, 2, 8]
    assert kept[Key("split", 2, "none")].payload_bytes == 80_000
    assert kept[Key("split", 2, "none")].replayed == ("device", "serialize", "deserialize", "edge")
    assert kept[Key("split", 2, "none")].estimated == ("serialize", "deserialize")
    assert kept[Key("device-only")].replayed == ("device",)


def test_a_device_without_an_edge_runs_alone(tmp_path: Path) -> None:
    pair = load_pair(toy_folder(tmp_path), "vgg16", device="tx2_gpu", edge=None, runtime="tf_eager")
    (own,) = recordings_of(pair, input_shape=PICTURE).values()
    assert own.terms_ms == {"device-only": {"device": pytest.approx(61)}}
    assert (own.cuts, own.estimates) == ((), ())


@pytest.mark.recorded
@pytest.mark.parametrize("runtime", ["tf_eager", "triton"])
def test_every_recorded_value_of_densenet169_is_replayed(runtime: str) -> None:
    pair = load_pair(recorded(), "densenet169", device="tx2_cpu", edge="ampere", runtime=runtime)
    own = recordings_of(pair, input_shape=(224, 224, 3))
    assert own["device"].cuts == own["edge"].cuts
    heads = own["device"].work_ms()
    assert heads[596] == pytest.approx(916.6, abs=0.1)
    assert own["edge"].work_ms()[0] == pytest.approx(73.8, abs=0.1)
    if runtime == "triton":
        assert own["edge"].own_ms(Key("split", 50, "maxpool"), "edge") == pytest.approx(13.86, abs=0.01)  # as it is
        assert {"deserialize", "edge_tl"} <= set(own["edge"].estimated(Key("split", 51, "maxpool")))
        assert own["device"].estimated(Key("split", 51, "maxpool")) == ()
    else:
        assert own["edge"].estimated(Key("split", 51, "maxpool")) == ()
    for block in pair.device.blocks[:20]:
        assert own["device"].own_ms(Key("split", block.output_layer, "maxpool"), "serialize") == pytest.approx(
            1e3 * (block.convert_s or 0)
        )


def test_a_profile_of_ours_is_a_recording_too() -> None:
    world = World(cuts=6).profiles()
    own = recordings_from(world, source={"file": "f"})
    predicted = fit("calibrated", Evidence(world))
    rows = [Row(Key("device-only")), Row(Key("split", world.device.cuts[2].index, "none"), payload_bytes=1000)]
    for key, made in predicted.predict(LINK, rows).predictions().items():
        assert own["device"].own_ms(key, "device") == pytest.approx(made.terms["device"])
    assert own["device"].estimates == own["edge"].estimates == ()
    assert own["device"].covers(Key("edge-only", None, "none", "jpeg"))


def test_a_recording_beside_a_tier_that_computes_keeps_the_cuts_that_both_have(tmp_path: Path) -> None:
    pair = load_single(toy_folder(tmp_path), "vgg16", tier="edge", system="ampere", runtime="tf_eager")
    own = recordings_of(pair, input_shape=PICTURE)["edge"]
    cuts = profile_of(pair, own, input_shape=PICTURE).cuts
    assert common_cuts(own, cuts, recorded_sizes(pair)) == [2, 7, 8]
    with pytest.raises(SpecError, match="another table of layers"):
        common_cuts(own, cuts, dict.fromkeys((2, 7, 8), 1))


@given(st.data())
def test_a_profile_of_fewer_cuts_has_the_same_whole(data: st.DataObject) -> None:
    whole = World(cuts=8).profiles().device
    indices = [cut.index for cut in whole.cuts]
    kept = sorted(data.draw(st.sets(st.sampled_from(indices), min_size=1)))
    fewer = restricted(whole, kept)
    assert [cut.index for cut in fewer.cuts] == kept
    joined = len(indices) - len(kept)
    assert sum(fewer.block_ms) == pytest.approx(max(sum(whole.block_ms) - joined * whole.call_ms, 0), rel=0.05)
    assert math.isclose(sum(fewer.scission_block_ms), sum(whole.scission_block_ms))
    assert len(fewer.scission_block_ms) == sum(cut.scission_cut for cut in fewer.cuts) + 1
    assert all(low <= middle <= high for low, middle, high in zip(
        fewer.block_low_ms, fewer.block_ms, fewer.block_high_ms, strict=True))  # fmt: skip
    lengths = {len(fewer.block_ms) - 1, len(fewer.head_peak_bytes), len(fewer.block_features) - 1}
    assert lengths == {len(kept)}
    assert all(left < right for left, right in itertools.pairwise(kept))
