"""Which cuts calibrate and which are measured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction.selection import anchor_keys, measured_keys
from harness.results.schema import Key, Row
from harness.transfer.encoding import Encoding
from tests.prediction.synthetic_world import World

BASELINES = {Key("device-only"), *(Key("edge-only", None, "none", name) for name in ("float32", "uint8", "jpeg"))}


def chosen(world: World, **changes: Any) -> list[Key]:
    arguments: dict[str, Any] = {
        "splits": "spread",
        "spread": 12,
        "encodings": [Encoding("maxpool")],
        "landmarks": [],
        "landmarks_none": True,
        "baselines": True,
        "best": [],
        "anchors": [],
    }
    return measured_keys(world.rows(), **{**arguments, **changes})


def cuts_of(keys: list[Key], transfer_layer: str) -> set[int]:
    return {key.split for key in keys if key.split is not None and key.transfer_layer == transfer_layer}


# -- anchors --------------------------------------------------------------------------------------------


@given(cuts=st.integers(8, 40), count=st.integers(1, 6), seed=st.integers(0, 99), data=st.data())
def test_anchors_are_whole_models_the_end_cuts_and_cuts_that_avoid_the_landmarks(
    cuts: int, count: int, seed: int, data: st.DataObject
) -> None:
    world = World(cuts=cuts, seed=seed)
    indices = [cut.index for cut in world.cut_records]
    avoid = data.draw(st.lists(st.sampled_from(indices), max_size=3))
    keys = anchor_keys(world.profiles().device, count=count, encoding=Encoding("maxpool"), avoid=avoid)
    assert set(keys) >= BASELINES
    assert Key("split", indices[-1], "none") in keys  # the last cut has no spatial axes
    splits = [key.split for key in keys if key.split is not None and key.transfer_layer == "maxpool"]
    assert splits == sorted(set(splits))
    assert 1 <= len(splits) <= count + 4
    assert (splits[0], splits[-1]) == (indices[0], indices[-2])  # the ends, even where they are to be avoided
    assert not set(splits[1:-1]) & set(avoid)
    assert len(keys) == len(set(keys))


def test_where_every_cut_is_to_be_avoided_the_anchors_are_cuts_all_the_same() -> None:
    world = World(cuts=6)
    everything = [cut.index for cut in world.cut_records]
    keys = anchor_keys(world.profiles().device, count=4, encoding=Encoding("maxpool"), avoid=everything)
    assert len([key for key in keys if key.candidate == "split"]) >= 2


# -- measured -------------------------------------------------------------------------------------------


@given(cuts=st.integers(20, 110), spread=st.integers(12, 16), count=st.integers(1, 6), seed=st.integers(0, 99))
def test_spread_takes_as_many_cuts_as_asked_from_end_to_end_and_no_anchor(
    cuts: int, spread: int, count: int, seed: int
) -> None:
    world = World(cuts=cuts, seed=seed)
    anchors = anchor_keys(world.profiles().device, count=count, encoding=Encoding("maxpool"), avoid=[])
    keys = chosen(world, anchors=anchors, spread=spread)
    taken = sorted(cuts_of(keys, "maxpool"))
    indices = [cut.index for cut in world.cut_records][:-1]
    free = set(indices) - {key.split for key in anchors}
    if len(free) >= spread:
        assert len(taken) == spread
        assert set(taken) <= free
    else:  # every cut that is no anchor, before any that is one
        assert set(taken) >= free
    assert taken[0] in indices[: count + 4]
    assert taken[-1] in indices[-count - 4 :]
    assert set(keys) >= BASELINES


def test_a_small_model_has_all_its_cuts_measured() -> None:
    world = World(cuts=9)
    assert len(cuts_of(chosen(world), "maxpool")) == 8  # the ninth has no spatial axes


def test_landmarks_are_measured_with_and_without_transfer_layer() -> None:
    keys = chosen(World(), landmarks=[4, 25])
    assert cuts_of(keys, "maxpool") >= {4, 25}
    assert cuts_of(keys, "none") == {4, 25}
    assert not cuts_of(chosen(World(), landmarks=[4, 25], landmarks_none=False), "none")


def test_the_predicted_best_of_each_layer_is_measured() -> None:
    best = [Key("split", 28, "maxpool"), Key("split", 31, "none")]
    assert set(chosen(World(), best=best)) >= set(best)
    assert best[1] not in chosen(World(), best=best, landmarks_none=False)


def test_other_choices_of_cuts() -> None:
    world = World()
    feasible = {cut.index for cut in world.cut_records if len(cut.shape) == 3}
    assert cuts_of(chosen(world, splits="all"), "maxpool") == feasible
    theirs = {cut.index for cut in world.cut_records if cut.scission_cut}
    assert cuts_of(chosen(world, splits="scission"), "maxpool") == theirs & feasible
    assert cuts_of(chosen(world, splits=[7, 1, 13]), "maxpool") == {1, 7, 13}
    both = chosen(world, splits=[7], encodings=[Encoding("maxpool"), Encoding("none")])
    assert cuts_of(both, "maxpool") == cuts_of(both, "none") == {7}
    assert not set(chosen(world, baselines=False)) & BASELINES


def test_a_cut_without_spatial_axes_is_measured_with_none_only() -> None:
    world = World()
    last = world.cut_records[-1].index
    keys = chosen(world, splits=[last], encodings=[Encoding("maxpool"), Encoding("none")])
    assert cuts_of(keys, "none") == {last}
    assert not cuts_of(keys, "maxpool")


@given(st.integers(-5, 200).filter(lambda index: index not in {cut.index for cut in World().cut_records}))
def test_an_index_that_is_no_cut_is_refused_with_the_nearest(index: int) -> None:
    with pytest.raises(SpecError) as caught:
        chosen(World(), splits=[4, index])
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"measure.splits: {index} is no cut")
    nearest = int(message.rsplit(" ", 1)[1])
    assert abs(nearest - index) == min(abs(cut.index - index) for cut in World().cut_records)


def test_the_order_is_that_of_the_rows_and_nothing_comes_twice() -> None:
    world = World()
    rows: list[Row] = world.rows()
    keys = chosen(world, landmarks=[4, 25], best=[Key("split", 4, "maxpool")])
    places = [[row.key for row in rows].index(key) for key in keys]
    assert places == sorted(set(places))
