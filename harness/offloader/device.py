"""The device's side of a request: head, DeviceTL, serialisation, and the call to the edge, with a clock on each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.offloader import codec
from harness.offloader.classification import Answer, classify
from harness.offloader.communicator import Communicator, Message, Reply
from harness.offloader.endpoint import EdgeEndpoint
from harness.offloader.observation import Observation
from harness.profiling.tier import Tier
from harness.profiling.timing import Times, time_round
from harness.profiling.work import Work
from harness.results.schema import Key
from harness.transfer import pictures

#: Sleep ends late by up to this much on a busy host, so the last part of a wait is spun.
_SPIN_NS = 300_000


class Pace:
    """An emulated slower board: after each piece of work the agent waits (`factor` - 1) x the time it computed.

    Computed means CPU time of this process, not time on the clock: what another process or the hypervisor took
    in between would otherwise count `factor` times. The wait costs no compute, so an emulated device leaves its
    core idle as a slower one would not.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._started_ns = 0
        self._cpu_ns = 0

    def start(self) -> int:
        """Begin a piece of work; the clock reading (CLOCK_MONOTONIC, ns)."""
        self._cpu_ns = time.process_time_ns()
        self._started_ns = time.monotonic_ns()
        return self._started_ns

    def finish(self) -> int:
        """End it: wait, and begin the next piece. The clock reading after the wait (ns)."""
        now_ns = time.monotonic_ns()
        computed_ns = min(now_ns - self._started_ns, time.process_time_ns() - self._cpu_ns)
        due_ns = now_ns + int((self._factor - 1.0) * computed_ns)
        if due_ns - now_ns > _SPIN_NS:
            time.sleep((due_ns - now_ns - _SPIN_NS) / 1e9)
        while now_ns < due_ns:
            now_ns = time.monotonic_ns()
        self._cpu_ns = time.process_time_ns()
        self._started_ns = now_ns
        return now_ns


class DeviceRuntime:
    """A device: its tier, its pace, its connection to the edge.

    Args:
        tier: what computes.
        communicator: the open connection.
        endpoint: what the edge wants to hear.
        slowdown: of the emulated board: how many times longer than here a piece of work takes; 1: no longer.
    """

    def __init__(self, tier: Tier, communicator: Communicator, endpoint: EdgeEndpoint, slowdown: float) -> None:
        self.tier = tier
        self._communicator = communicator
        self._endpoint = endpoint
        self._factor = slowdown
        self._input = tier.tensor(tier.input)

    def run(self, request: Mapping[str, Any]) -> Observation:
        """Run one planned request: {kind, name, order, request_id, paced, idle_ms, connection, pause_ms}.

        It starts after `idle_ms` of idleness, so that what the last request left behind (acknowledgements, a
        trace file) is done, and `pause_ms` of silence more. `connection` is `warm` (this device's own, open one) or
        `new`: made for this request, after its serialisation, and closed behind it.
        """
        time.sleep((request["idle_ms"] + request["pause_ms"]) / 1e3)
        pace = Pace(self._factor if request["paced"] else 1.0)
        kind, name = str(request["kind"]), str(request["name"])
        if kind == "echo":
            return echo(self._communicator, request, int(name))
        return self._candidate(request, Key.parse(name), pace, send=kind != "anchor")

    def prepare(self, works: list[Work], execution: str) -> None:
        """Compile what these pieces of work need and run each once."""
        for work in works:
            device_call(self.tier, work, self._communicator, execution)()

    def time(self, works: list[Work], *, execution: str, seed: int, gap_ms: float) -> Times:
        """One timed round; unpaced: a profile holds what this host takes, the pace is applied to it later."""
        return time_round(
            works,
            lambda work: device_call(self.tier, work, self._communicator, execution),
            device_terms,
            seed=seed,
            gap_ms=gap_ms,
        )

    @property
    def sized(self) -> bool:
        """Whether the Communicator writes tensors in a size that depends on their content, whatever the format."""
        return self._communicator.content_dependent

    def payload_bytes(self, keys: list[Key]) -> dict[str, int]:
        """By candidate, the bytes on the wire of the payload that its default request sends."""
        return {
            str(key): self._wire_bytes(key, codec.resident_payload(self.tier, key, real=self.sized)) for key in keys
        }

    def picture_bytes(self) -> dict[str, int]:
        """Bytes on the wire of the default picture in each format that may carry it."""
        keys = {name: Key("edge-only", None, "none", name) for name in pictures.names()}
        return {
            name: self._wire_bytes(key, codec.serialize(key, codec.source(self.tier, key)))
            for name, key in keys.items()
        }

    def _wire_bytes(self, key: Key, payload: bytes) -> int:
        return self._communicator.wire_bytes(payload, codec.datatype(key))

    def classify(self, key: Key, picture: NDArray[Any]) -> Answer:
        """A picture, uint8 [1, height, width, 3], through a candidate, over the link and offline."""
        return classify(self.tier, self._communicator, self._endpoint, key, picture)

    # -- requests ---------------------------------------------------------------------------------------

    def _candidate(self, request: Mapping[str, Any], key: Key, pace: Pace, *, send: bool) -> Observation:
        """Head, DeviceTL, serialisation, call. With `send` false the edge works on a payload that it already has:
        everything of the request but its payload on the link."""
        tier = self.tier
        started_ns = pace.start()
        if key.candidate == "device-only":
            scores = np.asarray(tier.head(tier.last)(self._input))
            head_ns = pace.finish()
            return observation(request, (started_ns, head_ns, head_ns, 0), None, scores)
        array: Any = codec.source(tier, key) if key.candidate == "edge-only" else None
        head_ns = shrunk_ns = started_ns
        if key.candidate == "split":
            tensor = tier.head(key.split or 0)(self._input)
            array = np.asarray(tensor)
            head_ns = shrunk_ns = pace.finish()
            device_tl = tier.device_tl(key.split or 0, key.transfer_layer)
            if device_tl is not None:
                array = np.asarray(device_tl(tensor))
                shrunk_ns = pace.finish()
        payload = codec.serialize(key, array)
        parameters = self._endpoint.parameters(key)
        message = self._communicator.encode(payload, parameters, request["request_id"], codec.datatype(key))
        handed_ns = pace.finish()
        if not send:
            message = self._communicator.encode(b"\0", parameters | {"verb": "anchor"}, request["request_id"])
        reply = call_edge(self._communicator, request, message)
        marks = (started_ns, head_ns, shrunk_ns, handed_ns)
        return observation(request, marks, reply, reply.output)


def echo(communicator: Communicator, request: Mapping[str, Any], payload_bytes: int) -> Observation:
    """A planned request of so many bytes and without compute."""
    payload, datatype = communicator.echo_payload(payload_bytes)
    started_ns = time.monotonic_ns()
    message = communicator.encode(payload, {"verb": "echo"}, request["request_id"], datatype)
    handed_ns = time.monotonic_ns()
    reply = call_edge(communicator, request, message)
    marks = (started_ns, started_ns, started_ns, handed_ns)
    return observation(request, marks, reply, reply.output)


def call_edge(communicator: Communicator, request: Mapping[str, Any], message: Message) -> Reply:
    """Hand a planned request's message over, on the connection that the plan asks for."""
    if request["connection"] == "new":
        return communicator.send_anew(message)
    return communicator.send(message)


def device_call(tier: Tier, work: Work, communicator: Communicator, execution: str) -> Callable[[], list[int]]:
    """A piece of device work, ready to run: it gives the clock readings head done, DeviceTL done, message encoded."""
    if work.kind == "codec":
        return _codec_call(tier, work.key or Key("edge-only"), communicator)
    slice_ = tier.block(work.start, work.end, execution) if work.kind == "block" else tier.head(work.end)
    x = tier.tensor(tier.input if work.start == 0 else tier.random(tier.shape(work.start)))

    def run() -> list[int]:
        np.asarray(slice_(x))
        done_ns = time.monotonic_ns()
        return [done_ns, done_ns, done_ns]

    return run


def device_terms(work: Work, started_ns: int, marks: list[int]) -> dict[str, float]:
    """Clock readings of `device_call` as terms in ms."""
    if work.kind == "codec":
        return {"device_tl": (marks[1] - marks[0]) / 1e6, "serialize": (marks[2] - marks[1]) / 1e6}
    return {"device": (marks[0] - started_ns) / 1e6}


def _codec_call(tier: Tier, key: Key, communicator: Communicator) -> Callable[[], list[int]]:
    split = key.candidate == "split"
    device_tl = tier.device_tl(key.split or 0, key.transfer_layer) if split else None
    real = communicator.content_dependent
    x: Any = tier.tensor(codec.crossing(tier, key, real=real)) if split else codec.source(tier, key)

    def run() -> list[int]:
        head_ns = time.monotonic_ns()
        array = np.asarray(x if device_tl is None else device_tl(x))
        shrunk_ns = time.monotonic_ns() if device_tl is not None else head_ns
        parameters = {"verb": "infer", "candidate": str(key)}
        communicator.encode(codec.serialize(key, array), parameters, "profile", codec.datatype(key))
        return [head_ns, shrunk_ns, time.monotonic_ns()]

    return run


def observation(
    request: Mapping[str, Any],
    marks: tuple[int, int, int, int],
    reply: Reply | None,
    scores: Any,
    *,
    fused: bool = False,
) -> Observation:
    """What a planned request came to.

    Args:
        marks: clock readings started, head done, DeviceTL done, handed to gRPC (ns; 0: nothing was sent).
        reply: of the edge; None: nothing was sent.
        scores: of the classes, [1, classes].
        fused: head and DeviceTL ran as one, and so did EdgeTL and tail.
    """
    started_ns, head_ns, shrunk_ns, handed_ns = marks
    return Observation(
        kind=str(request["kind"]),
        name=str(request["name"]),
        order=int(request["order"]),
        request_id=str(request["request_id"]),
        started_ns=started_ns,
        head_ns=head_ns,
        shrunk_ns=shrunk_ns,
        handed_ns=handed_ns,
        edge_ns=reply.edge_ns if reply else (),
        parsed_ns=reply.parsed_ns if reply else head_ns,
        response_bytes=reply.message_bytes if reply else 0,
        top_class=int(np.argmax(scores)),
        fused=fused,
    )
