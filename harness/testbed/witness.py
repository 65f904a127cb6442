"""An outside witness of requests: HTTP/2 messages found in what packet captures saw at both ends of the link (pure).

Neither the Offloader's clocks nor the server's have a part in it: the kernel's time of each TCP segment, and HTTP/2's
own frames (RFC 9113, section 4.1) inside them, which say where a request and a response begin and end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from netem.capture import Segment

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEADER_BYTES = 9
_DATA, _HEADERS = 0, 1
_END_STREAM = 1
_SEQUENCE_SPAN = 1 << 32


@dataclass(frozen=True)
class Passage:
    """One HTTP/2 message on its way over the link. Times are CLOCK_MONOTONIC, in ns.

    stream: its number on the connection, the same for a request and its response.
    departed_ns: its first segment left one end.
    arrived_ns: its last byte, and all before it, had come to the other.
    wire_bytes: its frames, with what else was sent between them.
    """

    stream: int
    departed_ns: int
    arrived_ns: int
    wire_bytes: int

    @property
    def took_ms(self) -> float:
        """From first departure to last arrival."""
        return (self.arrived_ns - self.departed_ns) / 1e6


def passages(departures: Sequence[Segment], arrivals: Sequence[Segment]) -> list[Passage]:
    """The whole messages of one direction of one connection, in order of their ends.

    Args:
        departures: segments of that direction where they leave, from between two messages (or the start) on.
        arrivals: the same where they come.
    """
    if not departures:
        return []
    base = departures[0].sequence
    left, came = _Bytes(departures, base), _Bytes(arrivals, base)
    started: dict[int, int] = {}
    found = []
    for begin, end, kind, flags, stream in _frames(left.content):
        if kind not in (_DATA, _HEADERS):
            continue
        started.setdefault(stream, begin)
        if flags & _END_STREAM and end <= len(came.content):
            first = started.pop(stream)
            found.append(Passage(stream, left.first_ns(first), came.complete_ns(end), end - first))
    return found


class _Bytes:
    """The contiguous bytes of one direction, and when they passed.

    Args:
        segments: in any order; a byte that passed twice counts by its first time.
        base: sequence number of byte 0.
    """

    def __init__(self, segments: Sequence[Segment], base: int) -> None:
        content = bytearray()
        self._starts: list[int] = []
        times: list[int] = []
        for segment in sorted(segments, key=lambda one: (_offset(one, base), one.at_ns)):
            offset = _offset(segment, base)
            new = offset + len(segment.data) - len(content)
            if offset > len(content):  # a hole: what lies behind it is no message yet
                break
            if new > 0 and offset >= 0:
                self._starts.append(len(content))
                content += segment.data[-new:]
                times.append(segment.at_ns)
        self.content = bytes(content)
        self._times = times
        self._latest = list(accumulate(times, max))

    def first_ns(self, place: int) -> int:
        """When the byte at `place` passed."""
        return self._times[bisect_right(self._starts, place) - 1]

    def complete_ns(self, end: int) -> int:
        """When every byte before `end` had passed."""
        return self._latest[bisect_right(self._starts, end - 1) - 1]


def _offset(segment: Segment, base: int) -> int:
    """Place of a segment's first byte; sequence numbers wrap around (RFC 9293, section 3.4)."""
    offset = (segment.sequence - base) % _SEQUENCE_SPAN
    return offset - _SEQUENCE_SPAN if offset >= _SEQUENCE_SPAN // 2 else offset


def _frames(content: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Begin, end, type, flags and stream of each whole HTTP/2 frame."""
    begin = len(_PREFACE) if content.startswith(_PREFACE) else 0
    while begin + _FRAME_HEADER_BYTES <= len(content):
        header = content[begin : begin + _FRAME_HEADER_BYTES]
        end = begin + _FRAME_HEADER_BYTES + int.from_bytes(header[:3], "big")
        if end > len(content):
            return
        yield begin, end, header[3], header[4], int.from_bytes(header[5:], "big") & 0x7FFF_FFFF
        begin = end
