"""What passes an interface, as tcpdump would see it: TCP segments with the kernel's time of each."""

import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns, time_ns
from types import TracebackType

from netem import linux
from netem.errors import ProbeError
from netem.link import ETHERNET_HEADER_BYTES
from netem.namespaces import Place, Sandbox

_IPV4 = 0x0800
_PACKET_OUTGOING = 4
_BUFFER_BYTES = 1 << 26
"""Holds some ten thousand full segments, with the kernel's bookkeeping, until somebody looks."""

_LARGEST_BYTES = 1 << 17


@dataclass(frozen=True)
class Segment:
    """One TCP segment that carried data.

    Attributes:
        at_ns: when it passed the interface, CLOCK_MONOTONIC.
        outgoing: whether it left the namespace here, or came in.
        ports: of its source and of its destination.
        sequence: of its first byte (32 bits, RFC 9293).
        data: its payload.
    """

    at_ns: int
    outgoing: bool
    ports: tuple[int, int]
    sequence: int
    data: bytes


class Capture:
    """Listens on one end of a link from entering on. Segments wait in the kernel, so nothing runs meanwhile.

    Args:
        sandbox: where the link is.
        where: the namespace.
        interface: its name there.

    Raises:
        OSError: no such interface, or CAP_NET_RAW is missing.
    """

    def __init__(self, sandbox: Sandbox, where: Place, interface: str) -> None:
        """Prepare; nothing is heard before ``__enter__``."""
        self._sandbox, self._where, self._interface = sandbox, where, interface

    def __enter__(self) -> "Capture":
        """Begin."""
        self._socket = self._sandbox.call(self._where, self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._socket.close()

    def segments(self) -> list[Segment]:
        """What has passed since the last call, in the order of passing.

        Raises:
            ProbeError: the kernel had no room for some of it: call more often.
        """
        found = []
        to_monotonic_ns = monotonic_ns() - time_ns()  # the kernel stamps by the wall clock
        with suppress(BlockingIOError):
            while True:
                frame, ancillary, _, address = self._socket.recvmsg(_LARGEST_BYTES, 64)
                seconds, nanoseconds = struct.unpack_from("qq", ancillary[0][2])
                at_ns = seconds * 1_000_000_000 + nanoseconds + to_monotonic_ns
                segment = _parsed(frame, at_ns, address[2] == _PACKET_OUTGOING)
                if segment is not None:
                    found.append(segment)
        _, lost = struct.unpack("II", self._socket.getsockopt(linux.SOL_PACKET, linux.PACKET_STATISTICS, 8))
        if lost:
            raise ProbeError(f"{lost} frames of {self._interface} found no room: ask for the segments more often")
        return found

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(linux.ETH_P_ALL))
        opened.setblocking(False)
        with suppress(PermissionError):  # rootless: the host's limit holds
            opened.setsockopt(socket.SOL_SOCKET, linux.SO_RCVBUFFORCE, _BUFFER_BYTES)
        opened.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
        opened.bind((self._interface, linux.ETH_P_ALL))
        return opened


def _parsed(frame: bytes, at_ns: int, outgoing: bool) -> Segment | None:
    """None for what is no TCP segment with data (Ethernet II, IPv4: RFC 894, 791, 9293)."""
    ip = ETHERNET_HEADER_BYTES
    if len(frame) < ip + 40 or int.from_bytes(frame[12:14], "big") != _IPV4 or frame[ip + 9] != socket.IPPROTO_TCP:
        return None
    end = ip + int.from_bytes(frame[ip + 2 : ip + 4], "big")
    tcp = ip + 4 * (frame[ip] & 0x0F)
    source, destination, sequence = struct.unpack_from("!HHI", frame, tcp)
    data = frame[tcp + 4 * (frame[tcp + 12] >> 4) : end]
    return Segment(at_ns, outgoing, (source, destination), sequence, data) if data else None
