"""What the agent's client makes of answers and failures, on a server that gives exactly those."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.errors import DeviceError, EdgeError, HarnessError, LinkError
from harness.testbed import client as client_module
from harness.testbed.agent import SERVICE
from harness.testbed.client import AgentClient

REQUESTS = [{"name": "device-only"}, {"name": "edge-only/jpeg"}]


class ScriptedAgent:
    """FAKE agent: fails, hangs or answers as the verb's arguments say."""

    def call(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        arguments = json.loads(request)
        if "fail" in arguments:
            context.abort(grpc.StatusCode.INTERNAL, arguments["fail"])
        time.sleep(arguments.get("sleep_s", 0))
        return request

    def run(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for item in json.loads(request)["requests"]:
            if item["name"] == "hang":
                time.sleep(3)
            if item["name"] == "end":
                return
            if item["name"] == "fail":
                context.abort(grpc.StatusCode.INTERNAL, "EdgeError: the edge\nis gone")
            yield json.dumps(item).encode()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AgentClient]:
    agent = ScriptedAgent()
    handlers = {"prepare": grpc.unary_unary_rpc_method_handler(agent.call)}
    handlers["run"] = grpc.unary_stream_rpc_method_handler(agent.run)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{tmp_path}/agent.sock")
    server.start()
    client = AgentClient(tmp_path / "agent.sock", lambda: None)
    yield client
    client.close()
    server.stop(0)


def failure(kind: type[HarnessError], action: Any) -> str:
    with pytest.raises(HarnessError) as caught:
        action()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_answers_come_as_they_were_given(client: AgentClient) -> None:
    client.wait_ready(10)
    assert client.call("prepare", works=["head/0/1"]) == {"works": ["head/0/1"]}
    assert list(client.run(REQUESTS, 10)) == REQUESTS


@pytest.mark.parametrize(
    ("details", "kind", "message"),
    [
        ("EdgeError: the edge at x failed", EdgeError, "the edge at x failed"),
        ("DeviceError: no room", DeviceError, "`prepare` failed on the device: no room"),
        ("KeyError: 'works'", DeviceError, "`prepare` failed on the device: KeyError: 'works'"),
        ("ValueError: a\n  b\nc", DeviceError, "`prepare` failed on the device: ValueError: a b c"),
        ("EdgeError: tail\n{{node x}}\n", EdgeError, "tail {{node x}}"),
    ],
)
def test_a_failure_is_of_its_kind_and_one_line(
    client: AgentClient, details: str, kind: type[HarnessError], message: str
) -> None:
    assert failure(kind, lambda: client.call("prepare", fail=details)) == message


def test_what_came_before_a_failure_is_not_lost(client: AgentClient) -> None:
    answers = client.run([*REQUESTS, {"name": "fail"}], 10)
    assert [next(answers), next(answers)] == REQUESTS
    assert failure(EdgeError, lambda: next(answers)) == "the edge is gone"


def test_an_agent_that_ends_the_stream_early_ends_the_answers(client: AgentClient) -> None:
    assert list(client.run([REQUESTS[0], {"name": "end"}, REQUESTS[1]], 10)) == [REQUESTS[0]]


def test_waiting_has_an_end(client: AgentClient) -> None:
    assert "`prepare` within 0.1 s" in failure(DeviceError, lambda: client.call("prepare", 0.1, sleep_s=3))
    message = failure(DeviceError, lambda: list(client.run([REQUESTS[0], {"name": "hang"}], 0.1)))
    assert "request 2 of 2 (hang)" in message


def test_who_died_is_said_instead_of_waiting(tmp_path: Path) -> None:
    def dead() -> None:
        raise EdgeError("triton ended with code -9: it printed nothing")

    client = AgentClient(tmp_path / "nobody.sock", dead)
    assert failure(EdgeError, lambda: client.wait_ready(60)).startswith("triton ended")
    client.close()


def test_the_link_is_blamed_for_what_failed_or_did_not_come(
    client: AgentClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []

    def broken(*, echo: bool = True) -> None:
        looks.append(echo)
        raise LinkError("the link is down")

    monkeypatch.setattr(client_module, "_LOOK_S", 0.5)
    own = AgentClient(tmp_path / "agent.sock", lambda: None, broken)
    assert list(own.run(REQUESTS, 10)) == REQUESTS
    assert looks == []  # what works is left alone
    failure(LinkError, lambda: own.call("prepare", fail="EdgeError: DEADLINE_EXCEEDED"))
    failure(LinkError, lambda: list(own.run([{"name": "fail"}], 10)))
    failure(LinkError, lambda: own.call("prepare", 0.1, sleep_s=2))
    assert looks == [True] * 3
    failure(LinkError, lambda: own.call("prepare", 60, sleep_s=4))  # waited for, and nothing put on the link meanwhile
    assert looks == [True] * 3 + [False]
    own.close()


def test_who_is_seen_dead_a_little_later_is_blamed_all_the_same(client: AgentClient, tmp_path: Path) -> None:
    asked: list[float] = []

    def dying() -> None:
        asked.append(time.monotonic())
        if asked[-1] - asked[0] > 0.2:
            raise EdgeError("triton ended with code -9")

    own = AgentClient(tmp_path / "agent.sock", dying)
    assert failure(EdgeError, lambda: own.call("prepare", fail="EdgeError: gone")) == "triton ended with code -9"
    own.close()


def test_nobody_on_the_socket_is_one_line(tmp_path: Path) -> None:
    client = AgentClient(tmp_path / "nobody.sock", lambda: None)
    failure(DeviceError, lambda: client.wait_ready(0.2))
    assert "went away during `prepare`" in failure(DeviceError, lambda: client.call("prepare", 5))
    client.close()
