"""Tiers that wait: never shorter than recorded, on one schedule, with tensors of the true size."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from harness.dnn.zoo import ModelSpec
from harness.offloader.endpoint import MultiplexedEndpoint
from harness.offloader.replay import Plan, ReplayedEdge, edge_of, stand_in, wait_until
from harness.offloader.replayed_device import ReplayedDevice
from harness.results.schema import Key

SPLIT = Key("split", 3, "maxpool")
PICTURE = Key("edge-only", None, "none", "float32")
DEVICE_MS = {"device": 4.0, "device_tl": 1.0, "serialize": 0.5}
EDGE_MS = {"deserialize": 1.0, "edge_tl": 0.5, "edge": 3.0}
MODEL = ModelSpec("toy", "Toy", (8, 8, 3), "tf")


def plan(terms: dict[str, dict[str, float]]) -> Plan:
    return Plan({"terms_ms": terms, "payload_bytes": {str(SPLIT): 4000}, "classes": 10})


def edge() -> ReplayedEdge:
    return ReplayedEdge(plan({str(SPLIT): EDGE_MS, str(PICTURE): {"deserialize": 0.1, "edge": 1.0}}), (8, 8, 3))


def request(name: str, **other: Any) -> dict[str, Any]:
    planned = {"kind": "measure", "name": name, "order": 0, "request_id": "r", "paced": True, "idle_ms": 0.0}
    return planned | {"connection": "warm", "pause_ms": 0.0} | other


def test_a_wait_is_never_too_short() -> None:
    for ms in (0.0, 0.02, 0.3, 5.0):
        due_ns = time.monotonic_ns() + round(ms * 1e6)
        assert wait_until(due_ns) >= due_ns
        assert time.monotonic_ns() >= due_ns


def test_an_edge_keeps_to_the_schedule_of_its_recording() -> None:
    called_ns = time.monotonic_ns()
    scores, marks = edge().infer(SPLIT, np.zeros(4000, np.uint8), called_ns)
    assert scores.shape == (1, 10)
    assert marks[0] == called_ns
    due_ns = called_ns
    for mark, ms in zip(marks[1:], EDGE_MS.values(), strict=True):
        due_ns += round(ms * 1e6)
        assert mark >= due_ns
    assert all(left <= right for left, right in pairwise(marks))


def test_a_term_that_a_candidate_does_not_have_takes_no_time() -> None:
    _, marks = edge().infer(PICTURE, np.zeros(4 * 8 * 8 * 3, np.uint8), time.monotonic_ns())
    assert marks[1] == marks[2]


def test_a_payload_of_another_size_is_refused_as_by_an_edge_that_computes() -> None:
    with pytest.raises(Exception, match="768"):
        edge().infer(PICTURE, np.zeros(12, np.uint8), time.monotonic_ns())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edge().infer(Key("split", 4, "none"), np.zeros(4, np.uint8), 0), "split/4/none/float32 was not rec"),
        (lambda: edge().control("time", np.zeros(0, np.uint8)), "nothing to time"),
        (lambda: plan({str(SPLIT): {"edge": -1.0}}), "allowed: times of 0 and more"),
        (lambda: plan({str(SPLIT): {"edge": float("nan")}}), "allowed: times of 0 and more"),
        (lambda: plan({"split/x": {}}), "not a candidate key"),
        (lambda: device().run(request(str(SPLIT))), "has no edge"),
        (lambda: device().time([1], execution="compiled", seed=0, gap_ms=0.0), "nothing to time"),
    ],
)
def test_what_was_not_recorded_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def device() -> ReplayedDevice:
    terms = {"device-only": {"device": 6.0}, str(SPLIT): DEVICE_MS}
    return ReplayedDevice(plan(terms), MODEL, None, MultiplexedEndpoint())


def test_a_device_alone_takes_what_was_recorded_and_unpaced_nothing() -> None:
    paced = device().run(request("device-only"))
    assert paced.head_ns - paced.started_ns >= 6_000_000
    assert not paced.sent
    unpaced = device().run(request("device-only", paced=False))
    assert unpaced.head_ns - unpaced.started_ns < 6_000_000


class Link:
    """Stands in for the communicator: keeps what was encoded, answers at once."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def encode(self, payload: bytes, parameters: dict[str, str], request_id: str, datatype: str = "UINT8") -> bytes:
        self.payloads.append(payload)
        return payload

    def send(self, message: bytes) -> Any:
        from harness.offloader.communicator import Reply

        return Reply(np.zeros((1, 10), np.float32), (1, 2, 3, 4), time.monotonic_ns(), 90)


@pytest.mark.parametrize(("kind", "sent"), [("measure", [4000]), ("anchor", [4000, 1])])
def test_a_request_carries_a_tensor_of_the_true_size_and_leaves_on_time(kind: str, sent: list[int]) -> None:
    link = Link()
    own = ReplayedDevice(plan({str(SPLIT): DEVICE_MS}), MODEL, link, MultiplexedEndpoint())  # type: ignore[arg-type]
    seen = own.run(request(str(SPLIT), kind=kind))
    assert [len(payload) for payload in link.payloads] == sent
    assert seen.head_ns - seen.started_ns >= 4_000_000
    assert seen.shrunk_ns - seen.started_ns >= 5_000_000
    assert seen.handed_ns - seen.started_ns >= 5_500_000
    assert seen.edge_ns == (1, 2, 3, 4)


def test_an_edge_replays_where_its_load_says_so() -> None:
    record = {"terms_ms": {str(SPLIT): EDGE_MS}, "payload_bytes": {}, "classes": 10}
    assert isinstance(edge_of({"model": {"input_shape": [8, 8, 3]}, "recording": record}), ReplayedEdge)
    assert edge_of({"model": {"input_shape": [8, 8, 3]}}) is None


def test_activations_are_positive_and_the_same_each_time() -> None:
    assert stand_in(100).min() > 0
    assert np.array_equal(stand_in(100), stand_in(100))


def test_a_replayed_tier_needs_no_tensorflow() -> None:
    import subprocess

    code = (
        "import sys, harness.offloader.replayed_device, harness.offloader.replay, harness.offloader.edge;"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]
