"""Lists and ranges of mode=predict."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.spec import Spec
from tests.spec.test_spec_schema import DEFAULT


def predict(**values: Any) -> dict[str, Any]:
    config = copy.deepcopy(DEFAULT) | {"mode": "predict"}
    for path, value in values.items():
        config = {**config, path: value}
    return config


def test_without_a_grid_nothing_is_asked() -> None:
    assert not Spec.from_config(DEFAULT).whatif.asked


@given(st.lists(st.floats(0.1, 10_000), min_size=1, max_size=6))
def test_a_list_at_a_root_key_is_the_axis(values: list[float]) -> None:
    spec = Spec.from_config(predict(bandwidth=values))
    assert spec.whatif.bandwidth == tuple(values)
    assert spec.bandwidth == values[0]
    assert Spec.from_yaml(spec.to_yaml()) == spec


@given(st.integers(2, 50))
def test_a_range_has_its_ends_and_its_count(count: int) -> None:
    spec = Spec.from_config(predict(latency=f"0:100:{count}", bandwidth=f"1:1000:{count}:log"))
    even, log = spec.whatif.latency, spec.whatif.bandwidth
    assert even is not None
    assert log is not None
    assert len(even) == len(log) == count
    assert (even[0], even[-1]) == (0, 100)
    assert (log[0], log[-1]) == (1, pytest.approx(1000))
    assert log[1] / log[0] == pytest.approx(log[-1] / log[-2])


def test_the_pace_of_the_device_is_an_axis_that_leaves_the_profiled_pace_alone() -> None:
    config = predict()
    config["whatif"] = {**config["whatif"], "slowdown": [1, 10]}
    spec = Spec.from_config(config)
    assert spec.whatif.slowdown == (1.0, 10.0)
    assert spec.hardware == Spec.from_config(DEFAULT).hardware


@pytest.mark.parametrize("value", ["1:2", "a:b:3", "1:2:3:cubic", "0:10:5:log", "1:10:1", "1:2:3:log:5"])
def test_a_broken_range_is_refused_with_the_way_to_write_one(value: str) -> None:
    with pytest.raises(SpecError, match="bandwidth"):
        Spec.from_config(predict(bandwidth=value))
    config = predict()
    config["whatif"] = {**config["whatif"], "bandwidth": value}
    with pytest.raises(SpecError, match=r"whatif\.bandwidth") as error:
        Spec.from_config(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [[10, -3], [0.0], [1e9], []])
def test_values_out_of_range_are_refused(values: list[float]) -> None:
    with pytest.raises(SpecError, match="bandwidth"):
        Spec.from_config(predict(bandwidth=values))


def test_only_mode_predict_takes_lists() -> None:
    with pytest.raises(SpecError, match="bandwidth"):
        Spec.from_config({**DEFAULT, "bandwidth": [10, 30]})
