"""Runs planned requests through the agent, joins the two sides' clocks, and hands out samples as they come."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import DeviceError
from harness.offloader.observation import Observation, ServerTimes, sample_of
from harness.results.schema import REQUEST_IDLE_MS, Key, Sample

#: Before an echo, which has no device work of its own that would leave link and edge idle as a request's does.
ECHO_IDLE_MS = 100.0
#: By how much a request's time-out comes later here than on the device, which knows that it is the edge that is silent.
_LATER_S = 5.0


@dataclass(frozen=True)
class Request:
    """One planned request: `measure` or `anchor` with a candidate's key, or `echo` with payload bytes.

    connection: what it finds: `warm`, the open one, or `new`, none yet.
    pause_ms: of silence before it.
    rehearsed: it runs once more before, after the same pause, unmeasured. What window a silence leaves depends on what
        was sent before it, so that a request whose window matters follows its like and not whatever came last.
    """

    kind: str
    name: str
    connection: str = "warm"
    pause_ms: float = 0.0
    rehearsed: bool = False


class Agent(Protocol):
    """What the runner needs of an agent's client."""

    def run(self, requests: Sequence[dict[str, Any]], timeout_s: float) -> Iterator[dict[str, Any]]:
        """The planned requests, one after the other; an observation each, as JSON has it."""


class ServerTrace(Protocol):
    """What the runner needs of the server's own clock readings; None where they cannot be had."""

    def times(self, request_id: str) -> ServerTimes | None:
        """Of one answered request. Raises EdgeError where the server owes them."""

    def discard(self) -> None:
        """Forget what has been recorded so far."""


def measure(key: Key, connection: str = "warm", pause_ms: float = 0.0, *, restarts: bool = False) -> Request:
    """A candidate.

    Args:
        connection: `warm`, `new`, or `idle`: the open one after `pause_ms` of silence.
        restarts: whether a silence closes the window (slow start after idle); an idle request is rehearsed anyway.
    """
    if connection == "new":
        return Request("measure", str(key), connection)
    paused = connection == "idle"
    rehearsed = (paused or restarts) and key.candidate != "device-only"
    return Request("measure", str(key), "warm", pause_ms if paused else 0.0, rehearsed)


def anchor(key: Key, pause_ms: float = 0.0) -> Request:
    """A candidate without its payload. It tells nothing of a connection, but what computing takes after the same
    pause (a core that slept computes slower) and, as a measured request after one, behind its like (whose weights
    the caches hold)."""
    rehearsed = pause_ms > 0 and key.candidate != "device-only"
    return Request("anchor", str(key), pause_ms=pause_ms, rehearsed=rehearsed)


def echo(payload_bytes: int, connection: str = "warm", pause_ms: float = 0.0, *, restarts: bool = False) -> Request:
    """So many bytes and no compute; arguments as for `measure`. With `restarts` a warm one, too, follows its like,
    which leaves a window that holds it."""
    if connection == "new":
        return Request("echo", str(payload_bytes), connection)
    paused = connection == "idle"
    return Request("echo", str(payload_bytes), "warm", pause_ms if paused else 0.0, paused or restarts)


class Runner:
    """Plans rounds and runs them; `order` counts through everything that one runner ran.

    Args:
        one_clock: whether device and server read the same clock (`sample_of`).
    """

    def __init__(self, agent: Agent, trace: ServerTrace, *, request_timeout_s: float, one_clock: bool = True) -> None:
        self._agent = agent
        self._trace = trace
        self._timeout_s = request_timeout_s
        self._one_clock = one_clock
        self._orders = itertools.count()
        self.response_bytes = 0  # of the last echo's answer, which weighs what an inference's does

    def warm(self, requests: Sequence[Request], *, paced: bool = False) -> None:
        """Run requests once, on the open connection, and forget what they took: first calls compile, fill caches,
        open windows."""
        planned = [self._planned(Request(request.kind, request.name), paced=paced) for request in requests]
        for _ in self._agent.run(planned, self._timeout_s + _LATER_S):
            pass
        self._trace.discard()

    def rounds(
        self, requests: Sequence[Request], count: int, *, seed: int, paced: bool = True
    ) -> Iterator[tuple[Request, Sample]]:
        """Run every request `count` times, each round in an order of its own, and yield each sample.

        Raises:
            DeviceError, EdgeError: a request failed, or the device answered fewer than were planned.
        """
        shuffler = random.Random(seed)
        plan: list[tuple[Request, bool]] = []
        for _ in range(count):
            block = list(requests)
            shuffler.shuffle(block)
            for request in block:
                plan += [(request, False)] * request.rehearsed + [(request, True)]
        planned = [self._planned(request, paced=paced) for request, _ in plan]
        answered = 0
        longest_pause_s = max((request.pause_ms for request in requests), default=0.0) / 1e3
        answers = self._agent.run(planned, self._timeout_s + longest_pause_s + _LATER_S)
        for (request, counts), answer in zip(plan, answers, strict=False):
            observation = Observation.from_dict(answer)
            server = self._trace.times(observation.request_id) if observation.sent else None
            answered += 1
            if not counts:
                continue
            if request.kind == "echo":
                self.response_bytes = observation.response_bytes
            yield request, sample_of(observation, server, one_clock=self._one_clock)
        if answered != len(plan):
            raise DeviceError(f"the device answered {answered} of {len(plan)} requests")

    def _planned(self, request: Request, *, paced: bool) -> dict[str, Any]:
        order = next(self._orders)
        return {
            "kind": request.kind,
            "name": request.name,
            "order": order,
            "request_id": f"{request.kind}-{order}",
            "paced": paced,
            "idle_ms": ECHO_IDLE_MS if request.kind == "echo" else REQUEST_IDLE_MS,
            "connection": request.connection,
            "pause_ms": request.pause_ms,
        }
