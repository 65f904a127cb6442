"""Predictions for the sliders of a page: as they were written, and refused where they are damaged."""

from __future__ import annotations

import json

import pytest

from harness.errors import HarnessError
from harness.results.lookup import Lookup, axis
from harness.results.schema import Key

LOOKUP = Lookup(
    (10.0, 57.0), (28.0,), (Key("device-only"), Key("split", 3, "maxpool")), (((1.5,), (1.5,)), ((2.0,), (None,)))
)


def test_it_comes_back_as_it_was() -> None:
    assert Lookup.of(json.loads(json.dumps(LOOKUP.record()))) == LOOKUP


@pytest.mark.parametrize(
    ("key", "value"),
    [("keys", ["nonsense"]), ("keys", None), ("total_ms", [[[1.0]]]), ("total_ms", 3), ("bandwidth_mbps", [1.0])],
)
def test_a_damaged_one_is_refused(key: str, value: object) -> None:
    with pytest.raises(HarnessError, match=r"lookup\.json is damaged"):
        Lookup.of(LOOKUP.record() | {key: value})


def test_the_cells_own_value_is_among_the_usual_ones() -> None:
    assert axis(57, (30, 60)) == (30.0, 57.0, 60.0)
    assert axis(60, (30, 60)) == (30.0, 60.0)
