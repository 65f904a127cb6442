"""Echoes: what a path takes, also where it loses some, and never an endless wait for them."""

from __future__ import annotations

import struct
import time

import pytest

from netem import echo
from netem.errors import ShapingError

pytestmark = pytest.mark.filterwarnings("error")


class FakeSocket:
    """A FAKE of a raw socket: answers come at once, are lost, or belong to somebody else's echoes."""

    def __init__(self, lost: set[int] = frozenset(), strangers: bool = False) -> None:  # type: ignore[assignment]
        self.lost, self.strangers, self.timeout_s = lost, strangers, 0.0
        self.sequence = -1

    def connect(self, address: tuple[str, int]) -> None:
        assert address == ("198.18.7.2", 0)

    def settimeout(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def send(self, packet: bytes) -> None:
        (self.sequence,) = struct.unpack_from("!H", packet, 6)

    def recv(self, _size: int) -> bytes:
        if self.sequence not in self.lost:
            return bytes([0x45]) + bytes(19) + struct.pack("!BBHHH", 0, 0, 0, 0, self.sequence)
        if self.strangers:
            time.sleep(min(self.timeout_s, 0.005))
            return bytes([0x45]) + bytes(19) + struct.pack("!BBHHH", 0, 0, 0, 4711, self.sequence)
        raise TimeoutError


def test_every_echo_has_to_come_back_unless_the_path_may_lose_some() -> None:
    assert 0 <= echo.median_ms(FakeSocket(), "198.18.7.2") < 1000  # type: ignore[arg-type]
    with pytest.raises(ShapingError, match="packets are lost"):
        echo.median_ms(FakeSocket({5}), "198.18.7.2")  # type: ignore[arg-type]
    assert 0 <= echo.median_ms(FakeSocket({0, 5}), "198.18.7.2", losing=True) < 1000  # type: ignore[arg-type]


def test_a_path_that_answers_nothing_is_given_up_soon() -> None:
    silent = FakeSocket(set(range(20)))
    with pytest.raises(ShapingError):
        echo.median_ms(silent, "198.18.7.2", losing=True)  # type: ignore[arg-type]
    assert silent.sequence == 2


def test_the_answers_to_other_peoples_echoes_do_not_put_off_the_end() -> None:
    with pytest.raises(ShapingError, match=r"within 0\.05 s"):
        echo.echo_ms(FakeSocket({0}, strangers=True), 0, 0.05)  # type: ignore[arg-type]
