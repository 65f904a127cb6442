"""Ethernet frames of one interface by AF_PACKET: received through a memory-mapped ring (TPACKET_V2, packet(7)).

The kernel writes each frame into the ring with the time at which it came, so that whoever reads may look
later, and finds many frames without one system call.
"""

import mmap
import socket
import struct
from time import monotonic_ns, time_ns

from netem.linux import ETH_P_ALL, PACKET_STATISTICS, SOL_PACKET

_PACKET_RX_RING = 5
_PACKET_VERSION = 10
_PACKET_IGNORE_OUTGOING = 23
_PACKET_QDISC_BYPASS = 20
_TPACKET_V2 = 1
_STATUS_FREE = b"\0\0\0\0"
_RING_BYTES = 1 << 24
_BLOCK_BYTES = 1 << 16
_OVERHEAD_BYTES = 96
"""Of a slot beside the frame: struct tpacket2_hdr, struct sockaddr_ll, alignment."""

_HEADER = struct.Struct("=IIIHHII")
"""tp_status, tp_len, tp_snaplen, tp_mac, tp_net, tp_sec, tp_nsec of struct tpacket2_hdr."""


class PacketRing:
    """An interface of the calling thread's network namespace, for reading and writing whole frames.

    Args:
        interface: its name.
        largest_frame_bytes: no frame may be longer.

    Raises:
        OSError: no such interface, or CAP_NET_RAW is missing.
    """

    def __init__(self, interface: str, largest_frame_bytes: int) -> None:
        """Open the socket and map the ring."""
        self._slot_bytes = 1 << (largest_frame_bytes + _OVERHEAD_BYTES - 1).bit_length()
        self._slots = _RING_BYTES // self._slot_bytes
        self._next = 0
        self._lost = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setblocking(False)
        self._socket.setsockopt(SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        self._socket.setsockopt(SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        # Room for a queue's worth of frames on their way to the other end.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _RING_BYTES)
        request = struct.pack("IIII", _BLOCK_BYTES, _RING_BYTES // _BLOCK_BYTES, self._slot_bytes, self._slots)
        self._socket.setsockopt(SOL_PACKET, _PACKET_RX_RING, request)
        self._ring = mmap.mmap(self._socket.fileno(), _RING_BYTES)
        self._socket.bind((interface, ETH_P_ALL))
        self.send = self._socket.send

    def close(self) -> None:
        """Give the ring back."""
        self._ring.close()
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor: readable when a frame waits."""
        return self._socket.fileno()

    def receive(self) -> list[tuple[int, bytes]]:
        """All frames that have come, each with its time of arrival in ns of the monotonic clock."""
        ring, unpack, slot_bytes = self._ring, _HEADER.unpack_from, self._slot_bytes
        frames: list[tuple[int, bytes]] = []
        offset = self._next * slot_bytes
        to_monotonic_ns = 0
        while True:
            status, whole, length, start, _, seconds, nanoseconds = unpack(ring, offset)
            if not status & 1:
                return frames
            if not to_monotonic_ns:  # the kernel stamps by the wall clock, which may be set meanwhile
                wall_ns = time_ns()  # first: an interruption here must not make frames come earlier than they did
                to_monotonic_ns = monotonic_ns() - wall_ns
            start += offset
            if length == whole:
                frames.append((seconds * 1_000_000_000 + nanoseconds + to_monotonic_ns, ring[start : start + length]))
            else:
                self._lost += 1
            ring[offset : offset + 4] = _STATUS_FREE
            self._next = (self._next + 1) % self._slots
            offset = self._next * slot_bytes

    def lost(self) -> int:
        """Frames that found the ring full, or were longer than the largest, since it was opened."""
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._lost += dropped
        return self._lost
