"""Triton's statistics beside our clocks."""

from __future__ import annotations

from typing import Any

import pytest

from harness.results.schema import Key, Sample
from harness.validation.server import cross_check

READING = {"requests": 5, "queue_ns": 1, "compute_input_ns": 2, "compute_infer_ns": 3, "compute_output_ns": 4}


def sample(order: int, **terms: float) -> Sample:
    return Sample(Key("split", 7), order, 100.0, terms, 0.0)


def checked(infer_ms: float, requests: int = 4, **terms: float) -> dict[str, Any]:
    samples = [sample(order, deserialize=1.0, edge=9.0, **terms) for order in range(4)]
    after = {name: value + (requests if name == "requests" else 0) for name, value in READING.items()}
    after["compute_infer_ns"] += round(requests * infer_ms * 1e6)
    after["queue_ns"] += requests * 20_000
    found = cross_check(READING, after, samples)
    assert found is not None
    return found


def test_two_measurements_of_the_same_requests_stand_beside_each_other() -> None:
    found = checked(10.4, queue=0.5)
    assert (found["requests"], found["queue_ms"], found["compute_infer_ms"]) == (4, 0.02, pytest.approx(10.4))
    assert found["clocked"] == {"requests": 4, "queue_ms": 0.5, "inside_ms": 10.0}
    assert found["way_ms"] == pytest.approx(0.4)
    assert found["agrees"]
    assert checked(10.4)["clocked"]["queue_ms"] is None


@pytest.mark.parametrize(
    ("infer_ms", "requests", "note"),
    [
        (9.0, 4, "clock is wrong"),
        (20.0, 4, "busy 10.00 ms a request longer"),
        (10.4, 40, "it served others meanwhile"),
        (10.4, 2, "not the same model or version"),
    ],
)
def test_what_does_not_fit_is_said(infer_ms: float, requests: int, note: str) -> None:
    found = checked(infer_ms, requests)
    assert not found["agrees"]
    assert note in found["notes"][0]


def test_where_nothing_was_sent_there_is_nothing_to_compare() -> None:
    assert cross_check(READING, READING, [sample(0, device=1.0)]) is None
    assert cross_check({}, {}, [sample(0, edge=1.0)]) is None
