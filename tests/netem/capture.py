"""An outside witness: frames captured on an interface, as tcpdump would, and the least time that a link may take.

Nothing here uses the code that it judges.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

from netem import Sandbox
from netem.namespaces import Place

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_PACKET_OUTGOING = 4
_BUFFER_BYTES = 1 << 26
_HEAD_BYTES = 96
_UDP_PAYLOAD_FROM = 14 + 20 + 8
_PROTOCOL_AT = 14 + 9
_ROUNDING_BYTES = 1e-3


@dataclass(frozen=True)
class Frame:
    """One frame: the kernel's timestamp (ns of the monotonic clock), its length, its first bytes."""

    at_ns: int
    length: int
    head: bytes


class Capture:
    """The frames that an interface received, or, ``outgoing``, sent (behind its qdiscs)."""

    def __init__(self, sandbox: Sandbox, where: Place, interface: str, *, outgoing: bool = False) -> None:
        def open_socket() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing before it is bound to one interface
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sock.bind((interface, _ETH_P_ALL))
            return sock

        self.sock = sandbox.call(where, open_socket)
        self.outgoing = outgoing
        self.frames: list[Frame] = []

    def drain(self) -> None:
        to_monotonic_ns = time.monotonic_ns() - time.time_ns()
        while select.select([self.sock], [], [], 0)[0]:
            buffer = bytearray(_HEAD_BYTES)
            length, ancillary, _, address = self.sock.recvmsg_into([buffer], 64, socket.MSG_TRUNC)
            if (address[2] == _PACKET_OUTGOING) == self.outgoing:
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                at_ns = seconds * 1_000_000_000 + nanoseconds + to_monotonic_ns
                self.frames.append(Frame(at_ns, length, bytes(buffer)))

    def numbered_ms(self) -> dict[int, float]:
        """When each datagram of ``netem.packet_probe`` passed, by its number."""
        return {
            struct.unpack_from("!I", frame.head, _UDP_PAYLOAD_FROM)[0]: frame.at_ns / 1e6
            for frame in self.frames
            if frame.head[_PROTOCOL_AT] == socket.IPPROTO_UDP
        }


@contextmanager
def draining(*captures: Capture) -> Iterator[None]:
    """Frames are taken out meanwhile, and the sockets closed afterwards."""
    ended = threading.Event()

    def body() -> None:
        while not ended.wait(0.005):
            for capture in captures:
                capture.drain()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for capture in captures:
            capture.drain()
            capture.sock.close()


@dataclass(frozen=True)
class Change:
    """From when on the bucket has filled at which rate."""

    at_ns: float
    rate_mbps: float


def earliest_ns(frames: Sequence[tuple[float, int]], changes: Sequence[Change], burst_bytes: float) -> list[float]:
    """When each frame may leave a token bucket at the earliest: full at first, first in first out, no frame in parts.

    Args:
        frames: (time at which it came, ns; length, bytes), in order.
        changes: of the rate, in order, the first before all frames.
        burst_bytes: what the bucket holds.
    """
    zero_ns = changes[0].at_ns  # small numbers keep a float's fractions
    ends = [change.at_ns - zero_ns for change in changes[1:]] + [float("inf")]
    segment, level, clock_ns = 0, float(burst_bytes), 0.0
    left: list[float] = []

    def bytes_per_ns() -> float:
        return changes[segment].rate_mbps / 8e3

    def advance(to_ns: float) -> None:
        nonlocal segment, level, clock_ns
        while clock_ns < to_ns:
            until_ns = min(to_ns, ends[segment])
            level = min(burst_bytes, level + (until_ns - clock_ns) * bytes_per_ns())
            clock_ns = until_ns
            if until_ns == ends[segment]:
                segment += 1

    for came_ns, length in frames:
        advance(came_ns - zero_ns)
        while level < length - _ROUNDING_BYTES:
            advance(min(clock_ns + (length - level) / bytes_per_ns(), ends[segment]))
        level -= length
        left.append(zero_ns + clock_ns)
    return left


def most_excess_bytes(frames: Sequence[Frame], changes: Sequence[Change], burst_bytes: float) -> float:
    """By how many bytes a token bucket would have been overdrawn at worst by frames that left as they did.

    At most 0 where every frame left within the rates in force and the bucket.
    """
    excess, level = float("-inf"), float(burst_bytes)
    steps = [*((change.at_ns, change.rate_mbps, 0) for change in changes), *((f.at_ns, 0.0, f.length) for f in frames)]
    steps.sort(key=lambda step: step[0])
    rate_mbps = steps[0][1]
    level -= steps[0][2]
    for (before_ns, *_), (at_ns, rate, length) in pairwise(steps):
        level = min(float(burst_bytes), level + (at_ns - before_ns) * rate_mbps / 8e3)
        if length:
            level -= length
            excess = max(excess, -level)
        else:
            rate_mbps = rate
    return excess
