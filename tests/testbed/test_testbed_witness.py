"""Messages found in captured segments, however TCP cut, repeated or disordered them."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from harness.testbed.witness import passages
from netem.capture import Segment

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(stream: int, size: int, *, largest: int = 16_384) -> bytes:
    parts = [frame(HEADERS, 4, stream, b"h" * 40)]
    for start in range(0, size, largest):
        length = min(largest, size - start)
        parts += [frame(DATA, int(start + length == size), stream, b"d" * length), frame(PING, 1, 0, bytes(8))]
    return b"".join(parts)


def cut(content: bytes, lengths: list[int], base: int, *, start_ns: int = 0, step_ns: int = 10) -> list[Segment]:
    segments, place = [], 0
    while place < len(content):
        length = lengths[len(segments) % len(lengths)]
        at_ns = start_ns + step_ns * len(segments)
        segments.append(Segment(at_ns, True, (1, 2), (base + place) % 2**32, content[place : place + length]))
        place += length
    return segments


SIZES = st.lists(st.integers(1, 60_000), min_size=1, max_size=4)
LENGTHS = st.lists(st.integers(1, 1448), min_size=1, max_size=5).filter(lambda lengths: sum(lengths) > 500)


@given(SIZES, LENGTHS, st.integers(0, 2**32 - 1), st.booleans(), st.randoms(use_true_random=False))
def test_every_message_is_found_with_its_own_first_and_last_segment(
    sizes: list[int], lengths: list[int], base: int, fresh: bool, chance: random.Random
) -> None:
    opening = PREFACE + frame(SETTINGS, 0, 0, bytes(6)) if fresh else b""
    messages = [message(2 * place + 1, size) for place, size in enumerate(sizes)]
    left = cut(opening + b"".join(messages), lengths, base)
    came = cut(opening + b"".join(messages), lengths, base, start_ns=1_000_000)
    repeated = [
        Segment(one.at_ns + 10**9, one.outgoing, one.ports, one.sequence, one.data)
        for one in chance.sample(came, min(3, len(came)))
    ]
    disordered = [*came, *repeated]
    chance.shuffle(disordered)
    found = passages(left, disordered)
    assert [one.stream for one in found] == [2 * place + 1 for place in range(len(sizes))]
    begin = len(opening)
    for one, own in zip(found, messages, strict=True):
        end = begin + one.wire_bytes
        assert one.wire_bytes == len(own) - len(frame(PING, 1, 0, bytes(8)))
        assert one.departed_ns == 10 * place_of(lengths, begin)
        assert one.arrived_ns == 1_000_000 + 10 * place_of(lengths, end - 1)
        assert round(one.took_ms * 1e6) == one.arrived_ns - one.departed_ns
        begin += len(own)


def place_of(lengths: list[int], byte: int) -> int:
    """Number of the segment that holds a byte."""
    place = end = 0
    while True:
        end += lengths[place % len(lengths)]
        if byte < end:
            return place
        place += 1


def test_what_has_not_come_whole_is_no_passage() -> None:
    left = cut(message(1, 5_000) + message(3, 5_000), [1448], 7)
    assert passages(left, []) == []
    assert [one.stream for one in passages(left, left[:5])] == [1]
    with_hole = [*left[:2], *left[3:]]
    assert passages(left, with_hole) == []
    assert passages([], left) == []
