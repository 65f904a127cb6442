"""The plan of the requests, on an agent that only counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from harness.errors import DeviceError
from harness.offloader.observation import Observation, ServerTimes
from harness.offloader.runner import Request, Runner, anchor, echo, measure
from harness.results.schema import Key

REQUESTS = [
    measure(Key("split", 7, "maxpool")),
    measure(Key("device-only")),
    anchor(Key("split", 9, "maxpool")),
    echo(9),
]


class CountingAgent:
    """FAKE agent and trace: answers with made-up clock readings, and remembers what it was asked."""

    def __init__(self, lost: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.discards = 0
        self._lost = lost

    def run(self, requests: Sequence[dict[str, Any]], timeout_s: float) -> Iterator[dict[str, Any]]:
        assert timeout_s > 0
        self.asked += requests
        for request in requests[: len(requests) - self._lost]:
            sent = request["name"] != "device-only"
            readings = {"started_ns": 10, "head_ns": 20, "shrunk_ns": 30, "handed_ns": 40 if sent else 0}
            planned = {name: request[name] for name in ("kind", "name", "order", "request_id")}
            edge_ns = (60, 70, 80, 90) if sent else ()
            yield Observation(
                **planned,
                **readings,
                edge_ns=edge_ns,
                parsed_ns=110,
                response_bytes=4_150,
                top_class=0,
            ).as_dict()

    def times(self, request_id: str) -> ServerTimes:
        return ServerTimes(50, 100)

    def discard(self) -> None:
        self.discards += 1


def test_every_round_has_every_request_once_in_an_order_of_its_own() -> None:
    agent = CountingAgent()
    found = list(Runner(agent, agent, request_timeout_s=1).rounds(REQUESTS * 3, 8, seed=5))
    blocks = [found[start : start + 12] for start in range(0, 96, 12)]
    for block in blocks:
        assert Counter(request for request, _ in block) == Counter(REQUESTS * 3)
    assert len({tuple(request for request, _ in block) for block in blocks}) > 1
    assert [sample.order for _, sample in found] == list(range(96))
    assert len({request["request_id"] for request in agent.asked}) == 96
    for request, sample in found:
        if request.kind != "echo":
            assert str(sample.key) == request.name


def test_the_order_is_that_of_the_seed() -> None:
    def order(seed: int) -> list[Request]:
        agent = CountingAgent()
        return [request for request, _ in Runner(agent, agent, request_timeout_s=1).rounds(REQUESTS, 9, seed=seed)]

    assert order(1) == order(1) != order(2)


def test_warm_requests_are_forgotten_but_counted() -> None:
    agent = CountingAgent()
    runner = Runner(agent, agent, request_timeout_s=1)
    runner.warm(REQUESTS)
    assert agent.discards == 1
    assert [request["paced"] for request in agent.asked] == [False] * 4
    (first, *_) = runner.rounds(REQUESTS, 1, seed=0)
    assert first[1].order == 4
    assert agent.asked[-1]["paced"]


def test_a_request_that_got_no_answer_is_an_error() -> None:
    agent = CountingAgent(lost=1)
    with pytest.raises(DeviceError, match="answered 7 of 8 requests"):
        list(Runner(agent, agent, request_timeout_s=1).rounds(REQUESTS, 2, seed=0))


def test_what_a_request_finds_is_planned() -> None:
    key = Key("split", 7, "maxpool")
    requests = [measure(key, "new", 500), measure(key), echo(9, "new"), anchor(key, 500), measure(key, restarts=True)]
    agent = CountingAgent()
    found = list(Runner(agent, agent, request_timeout_s=1).rounds(requests, 1, seed=0))
    planned = [(request["connection"], request["pause_ms"]) for request in agent.asked]
    # After a pause, and where a silence closes the window, a request follows its like.
    assert sorted(planned) == [("new", 0.0)] * 2 + [("warm", 0.0)] * 3 + [("warm", 500)] * 2
    assert len(found) == len(requests)


def test_an_idle_request_follows_its_like_which_is_not_counted() -> None:
    key = Key("split", 7, "maxpool")
    requests = [measure(key, "idle", 500), echo(9, "idle", 500), measure(Key("device-only"), "idle", 500)]
    agent = CountingAgent()
    found = list(Runner(agent, agent, request_timeout_s=1).rounds(requests, 3, seed=0))
    assert Counter(request for request, _ in found) == Counter(requests * 3)
    assert len(agent.asked) == 3 * (2 + 2 + 1)
    assert {request["pause_ms"] for request in agent.asked} == {500}
    asked = {request["order"]: request["name"] for request in agent.asked}
    for request, sample in found:
        if request.rehearsed:
            assert asked[sample.order - 1] == asked[sample.order] == request.name


def test_warming_up_neither_waits_nor_connects() -> None:
    key = Key("split", 7, "maxpool")
    agent = CountingAgent()
    Runner(agent, agent, request_timeout_s=1).warm([measure(key, "new"), measure(key, "idle", 500)])
    assert [(request["connection"], request["pause_ms"]) for request in agent.asked] == [("warm", 0.0)] * 2
