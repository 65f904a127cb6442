"""How sure the times of heads and tails are that nobody measured."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.prediction.curve import through_anchors
from tests.prediction.synthetic_world import World


@given(seed=st.integers(0, 50), places=st.sets(st.integers(0, 19), min_size=1, max_size=2), reverse=st.booleans())
def test_with_too_few_anchors_for_a_deviation_the_interval_holds_whatever_two_of_them_allow(
    seed: int, places: set[int], reverse: bool
) -> None:
    world = World(seed=seed)
    device = world.profiles().device
    true = {cut.index: (world.tail_ms if reverse else world.head_ms)(cut.index) for cut in device.cuts}
    measured = sorted(device.cuts[place].index for place in places)

    curve = through_anchors(device, {cut: true[cut] for cut in measured}, 0.01, reverse=reverse)

    assert all(curve.error_ms[cut] < 1e-9 for cut in measured)
    inner = [cut for one, other in pairwise(measured) for cut in true if one < cut < other]
    for cut in inner:
        assert abs(curve.time_ms[cut] - true[cut]) <= curve.error_ms[cut] + 1e-9
    unmeasured = [cut for cut in true if cut not in measured]
    assert all(curve.error_ms[cut] > 0 for cut in unmeasured), "nothing says how sure these are"


def test_more_anchors_make_it_surer() -> None:
    world = World()
    device = world.profiles().device
    true = {cut.index: world.head_ms(cut.index) for cut in device.cuts}
    few, many = (
        through_anchors(device, {cut: true[cut] for cut in list(true)[::step]}, 0.001, reverse=False)
        for step in (19, 3)
    )
    inside = list(true)[1:-1]
    assert sum(many.error_ms[cut] for cut in inside) < sum(few.error_ms[cut] for cut in inside) / 2
