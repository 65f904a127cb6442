"""The fate of single packets: numbered UDP datagrams from the device to the edge, stamped by the kernel on arrival."""

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from netem import linux
from netem.errors import ProbeError
from netem.namespaces import Sandbox

_NUMBER_AND_TIME = struct.Struct("!IQ")
_TIMESPEC = struct.Struct("qq")
_BURST_INTERVAL_S = 0.002
_RECEIVE_BUFFER_BYTES = 1 << 24
_SILENCE_S = 1.0


@dataclass(frozen=True)
class PacketReport:
    """What became of the packets.

    Attributes:
        sent: how many were sent, numbered from 0.
        numbers: the numbers received, in order of arrival; a duplicate is there twice.
        delays_ms: one-way times, one a packet received; both clocks are this host's wall clock.
        corrupted: how many arrived with a wrong content (their checksum was not checked).
    """

    sent: int
    numbers: tuple[int, ...]
    delays_ms: tuple[float, ...]
    corrupted: int = 0

    @property
    def lost(self) -> tuple[int, ...]:
        """The numbers that never came, ascending."""
        return tuple(sorted(set(range(self.sent)) - set(self.numbers)))

    @property
    def loss_rate(self) -> float:
        """Share of packets that never came."""
        return len(self.lost) / self.sent

    @property
    def reordered(self) -> int:
        """How many came after a packet with a higher number."""
        highest, late = -1, 0
        for number in self.numbers:
            late += number < highest
            highest = max(highest, number)
        return late

    @property
    def duplicates(self) -> int:
        """How many came a second time."""
        return len(self.numbers) - len(set(self.numbers))


def send_packets(
    sandbox: Sandbox,
    count: int,
    *,
    packets_per_s: float = 4000.0,
    payload_bytes: int = 32,
    longest_delay_ms: float = 0.0,
) -> PacketReport:
    """Send numbered packets up the link at a steady pace and report what came.

    Args:
        sandbox: where a link is applied.
        count: of packets.
        packets_per_s: the pace; the link must be able to carry it.
        payload_bytes: of one datagram, at least 12.
        longest_delay_ms: what the link may hold a packet beyond a second.

    Raises:
        ProbeError: nothing came.
    """
    address = sandbox.address("edge")
    with sandbox.call("edge", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        with suppress(PermissionError):  # rootless: the host's limit holds, so keep the pace low
            receiver.setsockopt(socket.SOL_SOCKET, linux.SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        receiver.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
        receiver.bind((address, 0))
        receiver.settimeout(_SILENCE_S + longest_delay_ms / 1e3)
        with sandbox.call("device", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
            sender.connect(receiver.getsockname())
            pace = threading.Thread(target=_send, args=(sender, count, packets_per_s, payload_bytes))
            pace.start()
            numbers, delays_ms = _receive(receiver, pace)
            pace.join()
    if not numbers:
        raise ProbeError(f"none of {count} packets came: the link carries nothing; apply it again")
    known = [(number, delay_ms) for number, delay_ms in zip(numbers, delays_ms, strict=True) if number < count]
    return PacketReport(
        sent=count,
        numbers=tuple(number for number, _ in known),
        delays_ms=tuple(delay_ms for _, delay_ms in known),
        corrupted=len(numbers) - len(known),
    )


def _send(sock: socket.socket, count: int, packets_per_s: float, payload_bytes: int) -> None:
    padding = bytes(payload_bytes - _NUMBER_AND_TIME.size)
    started_s = time.monotonic()
    for number in range(count):
        ahead_s = started_s + number / packets_per_s - time.monotonic()
        if ahead_s > _BURST_INTERVAL_S or (ahead_s > 0 and packets_per_s * _BURST_INTERVAL_S < 1):
            time.sleep(ahead_s)
        sock.send(_NUMBER_AND_TIME.pack(number, time.time_ns()) + padding)


def _receive(sock: socket.socket, pace: threading.Thread) -> tuple[list[int], list[float]]:
    numbers: list[int] = []
    delays_ms: list[float] = []
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(2048, 64)
        except TimeoutError:
            if not pace.is_alive():
                return numbers, delays_ms
            continue
        number, sent_ns = _NUMBER_AND_TIME.unpack_from(data)
        seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
        numbers.append(number)
        delays_ms.append((seconds * 1_000_000_000 + nanoseconds - sent_ns) / 1e6)
