"""Constraints and recorded hardware in a spec: what is contradictory or out of range is one line."""

from __future__ import annotations

from typing import Any

import pytest

from harness.spec import Spec
from tests.spec.test_spec_schema import DEFAULT, changed, refusal


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("constraints.max_split", 4, ["constraints.max_split=4", "below constraints.min_split=5", "at least 5"]),
        ("constraints.edge_layers", [3], ["no cut is left", "a cut from 5 on and below 3"]),
        ("constraints.not_device_layers", [0], ["no cut is left"]),
        ("constraints.device_layers", ["conv1", True], ["constraints.device_layers=[conv1,true]"]),
        ("constraints.device_layers", [-1], ["constraints.device_layers=[-1]", "-1 is no layer", "from 0 to"]),
        ("constraints.max_device_share", 1.5, ["constraints.max_device_share=1.5", "out of range"]),
        ("constraints.max_edge_share", -0.1, ["out of range"]),
        ("constraints.max_latency_ms", 0, ["out of range", "ms"]),
        ("constraints.max_upload_bytes", 2.5, ["not a whole number", "bytes"]),
        ("constraints.max_device_memory_bytes", -1, ["out of range"]),
        ("constraints.objective", "latencies", ["no such objective", "did you mean 'latency'?"]),
        ("constraints.objective", {"latency": 0.7, "size": 0.3}, ["no objective 'size'", "latency, payload"]),
        ("constraints.objective", {"latency": -1}, ["the weight of latency is no number from 0 on"]),
        ("constraints.objective", {"latency": float("nan")}, ["the weight of latency is no number from 0 on"]),
        ("constraints.objective", {"latency": 0, "payload": 0}, ["no weight is above 0"]),
        ("constraints.objective", {}, ["no weight is above 0"]),
        ("constraints.tier.devise", "tx2_gpu", ["unknown key", "did you mean 'constraints.tier.device'?"]),
        ("rank.top", 0, ["rank.top=0", "at least 1"]),
        ("hardware.kind", "recorded", ["hardware.device", "hardware.device.system"]),
        ("hardware.edge.runtime", "tritn", ["tf_eager, triton", "did you mean 'triton'?"]),
    ],
)
def test_a_refusal_says_what_was_given_and_what_is_allowed(path: str, value: Any, parts: list[str]) -> None:
    message = refusal(path, value)
    assert [part for part in parts if part not in message] == []


def with_constraints(**given: Any) -> dict[str, Any]:
    return {**DEFAULT, "constraints": {**DEFAULT["constraints"], **given}}


@pytest.mark.parametrize(
    "given",
    [
        {"device_layers": [7], "edge_layers": [7]},
        {"device_layers": ["a"], "not_device_layers": ["a"]},
        {"edge_layers": ["a"], "not_edge_layers": ["a"]},
        {"device_layers": [50], "edge_layers": [10]},
        {"max_split": 20, "device_layers": [21]},
    ],
)
def test_lists_of_layers_that_contradict_each_other_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"^constraints\..*(on both tiers|no cut is left)"):
        Spec.from_config(with_constraints(**given))


@pytest.mark.parametrize(
    "given",
    [
        {"device_layers": [10], "edge_layers": [11], "max_split": 10},
        {"device_layers": ["a"], "edge_layers": ["b"], "not_edge_layers": ["a"]},
        {"objective": {"latency": 0.7, "payload": 0.3}},
        {"objective": {"payload": 1}},
        {"tier": {"device": "tx2_gpu", "edge": None}},
        {"max_device_share": 0, "max_edge_share": 1, "max_upload_bytes": 0},
    ],
)
def test_what_can_be_met_is_taken_and_can_be_read_back(given: dict[str, Any]) -> None:
    spec = Spec.from_config(with_constraints(**given))
    assert Spec.from_yaml(spec.to_yaml()) == spec


def test_the_default_rules_out_early_cuts_alone() -> None:
    spec = Spec.from_config(DEFAULT)
    assert spec.constraints.min_split == 5
    assert spec.constraints.objective == "latency"
    assert spec.rank.top == 10
    assert Spec.from_config(changed("constraints.min_split", 0)).constraints.min_split == 0
