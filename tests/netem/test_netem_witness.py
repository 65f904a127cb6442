"""An outside witness: what is captured on both ends, as tcpdump would, agrees with what the probe says."""

import select
import socket
import statistics
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netem import Impairments, LinkSpec, Sandbox, Where, apply
from netem.packet_probe import send_packets

pytestmark = pytest.mark.link

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
UDP_PAYLOAD_FROM = 14 + 20 + 8
PROTOCOL_AT = 14 + 9


class Capture:
    """The kernel's timestamp of each numbered UDP packet that passes an interface."""

    def __init__(self, sandbox: Sandbox, where: Where, interface: str) -> None:
        def open_socket() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.bind((interface, ETH_P_ALL))
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            return sock

        self.sock = sandbox.call(where, open_socket)
        self.seen_ms: dict[int, float] = {}

    def drain(self) -> None:
        while select.select([self.sock], [], [], 0)[0]:
            frame, ancillary, _, _ = self.sock.recvmsg(2048, 64)
            if frame[PROTOCOL_AT] == socket.IPPROTO_UDP:
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                (number,) = struct.unpack_from("!I", frame, UDP_PAYLOAD_FROM)
                self.seen_ms[number] = seconds * 1e3 + nanoseconds / 1e6


@contextmanager
def draining(*captures: Capture) -> Iterator[None]:
    ended = threading.Event()

    def body() -> None:
        while not ended.wait(0.005):
            for capture in captures:
                capture.drain()

    thread = threading.Thread(target=body)
    thread.start()
    yield
    ended.set()
    thread.join()
    for capture in captures:
        capture.drain()
        capture.sock.close()


def test_both_ends_saw_what_the_probe_says(sandbox: Sandbox) -> None:
    spec = LinkSpec(57, 57, 14, 14, impairments_up=Impairments(loss=0.05), seed=5)
    applied = apply(sandbox, spec, relay_cpu=0)
    sent, came = (Capture(sandbox, where, applied.interfaces[where]) for where in ("device", "edge"))
    with draining(sent, came):
        report = send_packets(sandbox, 1000, packets_per_s=1000)
    assert len(sent.seen_ms) == 1000
    assert sorted(came.seen_ms) == sorted(report.numbers)
    captured_ms = statistics.median(came.seen_ms[number] - sent.seen_ms[number] for number in came.seen_ms)
    assert captured_ms == pytest.approx(statistics.median(report.delays_ms), abs=0.5)
    assert captured_ms == pytest.approx(14, abs=1)
