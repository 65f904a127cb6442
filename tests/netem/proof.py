"""The proof that a link changed in place is never faster than it was asked to be: frame by frame, from outside."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

from netem import LinkSpec, Sandbox, apply, change
from netem.interfaces import Backend
from netem.plan import INTERFACES, MIDDLE_INTERFACES
from tests.netem.capture import Capture, Change, Frame, draining, earliest_ns, most_excess_bytes

_SINK = """
import socket, sys
with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    sock, _ = server.accept()
    while sock.recv(65536):
        pass
"""
_SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    while True:
        sock.sendall(bytes(65536))
"""
_PAUSE_S = 0.003
_EMPTY_S = 0.1
"""Until what ``apply`` sent itself has crossed: a capture must not begin between a frame's two ends."""

_SETTLED_S = 0.5
"""Longer than slow start on this link: from then on it is full."""


@dataclass(frozen=True)
class Proof:
    """What the frames of a run say.

    Attributes:
        frames: how many were followed.
        changes: how many there were.
        earliest_lead_ms: by how much the most hasty frame came before the first moment that the link allows; negative
            where none did. None where frames cannot be followed through (the kernel's qdiscs).
        excess_bytes: by how much the token bucket was overdrawn at worst, at most 0 where never; None with the relay,
            which is told from each frame's own lead: a late one followed by one in time looks like an overdraft.
        carried_share: of what the rates allow over the time of the changes.
    """

    frames: int
    changes: int
    earliest_lead_ms: float | None
    excess_bytes: float | None
    carried_share: float


def changes_under_load(backend: Backend, count: int, rates_mbps: tuple[float, float] = (57, 30)) -> Proof:
    """Change the rate so many times in place, back and forth, while one connection fills the link."""
    fast, slow = rates_mbps
    delay_ms = 0 if backend == "rate-only" else 5
    spec = LinkSpec(fast, fast, delay_ms, delay_ms)
    with Sandbox() as sandbox:
        applied = apply(sandbox, spec, backend=backend, relay_cpu=0, calibrate=False)
        time.sleep(_EMPTY_S)
        if backend == "relay":
            came = Capture(sandbox, "middle", MIDDLE_INTERFACES["device"])
            went = Capture(sandbox, "edge", INTERFACES["edge"])
            captures = [came, went]
        else:
            went = Capture(sandbox, "device", INTERFACES["device"], outgoing=True)
            captures = [went]
        changes = [Change(time.monotonic_ns(), fast)]
        with draining(*captures), load(sandbox):
            time.sleep(_SETTLED_S)
            for step in range(count):
                rate = fast if step % 2 else slow
                asked_ns = time.monotonic_ns()
                change(sandbox, applied, replace(spec, rate_up_mbps=rate), read_back=False)
                at_ns = asked_ns if rate == fast else time.monotonic_ns()  # in between, the faster may hold
                if applied.relay is not None:
                    at_ns = applied.relay.statistics()["up"]["changed_ns"]
                changes.append(Change(at_ns, rate))
                time.sleep(_PAUSE_S)
    return _judged(came.frames if backend == "relay" else None, went, changes, spec)


def _judged(came: list[Frame] | None, went: Capture, changes: list[Change], spec: LinkSpec) -> Proof:
    lead_ms = None
    if came is not None:
        ins, outs = ([frame.length for frame in frames] for frames in (came, went.frames))
        assert outs == ins[: len(outs)], "the relay carries every frame, in order"
        earliest = earliest_ns([(frame.at_ns, frame.length) for frame in came], changes, spec.burst_bytes)
        leads_ns = [due - frame.at_ns for due, frame in zip(earliest, went.frames, strict=False)]
        lead_ms = max(leads_ns) / 1e6 + spec.delay_up_ms
    begin, end = changes[1].at_ns, changes[-1].at_ns
    inside = [frame.length for frame in went.frames if begin <= frame.at_ns < end]
    allowed = sum((b.at_ns - a.at_ns) * a.rate_mbps / 8e3 for a, b in pairwise(changes[1:]))
    return Proof(
        frames=len(went.frames),
        changes=len(changes) - 1,
        earliest_lead_ms=lead_ms,
        excess_bytes=None if came is not None else most_excess_bytes(went.frames, changes, spec.burst_bytes),
        carried_share=sum(inside) / allowed,
    )


@contextmanager
def load(sandbox: Sandbox) -> Iterator[None]:
    """One connection from the device to the edge that sends without end."""
    address = sandbox.address("edge")
    sink = sandbox.popen("edge", [sys.executable, "-c", _SINK, address], stdout=subprocess.PIPE)
    source = None
    try:
        assert sink.stdout is not None
        port = sink.stdout.readline().decode().strip()
        source = sandbox.popen("device", [sys.executable, "-c", _SOURCE, address, port])
        yield
    finally:
        for process in (source, sink):
            if process is not None:
                process.kill()
                process.wait()
