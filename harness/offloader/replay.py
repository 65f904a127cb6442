"""Tiers that wait instead of computing: a recording says how long, everything else of a request is real.

The tensors have their true size and type, are serialised, cross the link and are deserialised; what a term takes on
the clock is what was recorded. The real work of a term is not on top of that: a device encodes before its clock starts,
an edge reads its payload while it waits. Deadlines follow from when the tier's part of the request began: a term that
ends late does not make the next one late too. NumPy alone: no TensorFlow in either process.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import inputs
from harness.offloader import codec
from harness.results.schema import EDGE_TERMS, Key
from harness.transfer import pictures, wire

#: A sleep ends this long before its moment, and the rest is spun.
SPIN_NS = 50_000
#: prctl(2): how late the kernel may end this thread's sleeps, to save wake-ups; 50 us unless asked otherwise.
_PR_SET_TIMERSLACK = 29
_SLACK_NS = 1

_LIBC = ctypes.CDLL(None)  # loading it takes milliseconds
_thread = threading.local()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Gives the thread a real-time priority while entered, where this host permits one.

    Recorded hardware is not slowed down by what else runs here. The link's relay has the same priority, which a sleep
    and a spin of 50 us do not hurt.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def wait_until(due_ns: int) -> int:
    """Sleep until `SPIN_NS` before a moment (CLOCK_MONOTONIC), spin the rest; the clock reading after it."""
    if not getattr(_thread, "precise", False):
        _LIBC.prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0)
        _thread.precise = True
    now_ns = time.monotonic_ns()
    if due_ns - now_ns > SPIN_NS:
        time.sleep((due_ns - now_ns - SPIN_NS) / 1e9)
    while now_ns < due_ns:
        now_ns = time.monotonic_ns()
    return now_ns


class Plan:
    """What a tier replays.

    Args:
        record: {terms_ms: by candidate and term, payload_bytes: by candidate, classes}, times at the cell's pace.

    Raises:
        ValueError: a candidate in it is none, or a time is negative or not finite.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.terms_ns: dict[Key, dict[str, int]] = {}
        for text, terms in record["terms_ms"].items():
            odd = {term: ms for term, ms in terms.items() if not (math.isfinite(ms) and ms >= 0)}
            if odd:
                raise ValueError(f"{text}: {odd} ms; allowed: times of 0 and more")
            self.terms_ns[Key.parse(text)] = {term: round(ms * 1e6) for term, ms in terms.items()}
        self.payload_bytes = {Key.parse(text): int(size) for text, size in record["payload_bytes"].items()}
        self.classes = int(record["classes"])

    def of(self, key: Key) -> dict[str, int]:
        """The terms of a candidate in ns. Raises ValueError for one that was not recorded."""
        if key not in self.terms_ns:
            raise ValueError(f"{key} was not recorded and cannot be replayed")
        return self.terms_ns[key]


class ReplayedEdge:
    """An edge of which only the times are there: the same methods as `EdgeRuntime`, behind the real server."""

    def __init__(self, plan: Plan, input_shape: Sequence[int]) -> None:
        self._plan = plan
        self._input_shape = tuple(input_shape)
        self._resident: dict[Key, NDArray[np.uint8]] = {}

    def infer(self, key: Key, payload: NDArray[np.uint8], called_ns: int) -> tuple[NDArray[np.float32], list[int]]:
        """One inference: zero scores [1, classes] and the clock readings called, ready, EdgeTL done, tail done."""
        terms, scores = self._plan.of(key), self.echo()
        due_ns, marks = called_ns, [called_ns]
        with undisturbed():
            self._deserialize(key, payload)
            for term in EDGE_TERMS:
                due_ns += terms.get(term, 0)
                marks.append(wait_until(due_ns) if term in terms else marks[-1])
        return scores, marks

    def echo(self) -> NDArray[np.float32]:
        """Zero scores in the shape that the recorded model answered with."""
        return np.zeros((1, self._plan.classes), dtype=np.float32)

    def anchor(self, key: Key, called_ns: int) -> tuple[NDArray[np.float32], list[int]]:
        """An inference on a resident payload."""
        if key not in self._resident:
            self._resident[key] = np.frombuffer(self._payload(key), dtype=np.uint8)
        return self.infer(key, self._resident[key], called_ns)

    def control(self, verb: str, payload: NDArray[np.uint8]) -> bytes:  # noqa: ARG002 (as `EdgeRuntime`)
        """`prepare`, which has nothing to do. Raises ValueError for any other verb."""
        if verb != "prepare":
            raise ValueError(f"a replayed edge has nothing to {verb}; allowed: infer, echo, anchor, load, prepare")
        return b"{}"

    def _deserialize(self, key: Key, payload: NDArray[np.uint8]) -> NDArray[Any]:
        """The tensor, as an edge takes it: one flat axis for an activation, whose shape may not be known."""
        if key.candidate == "edge-only":
            return pictures.get(key.wire_format).deserialize(payload.data, (1, *self._input_shape))
        return wire.get(key.wire_format).deserialize(payload.data, (1, payload.nbytes // 4))

    def _payload(self, key: Key) -> bytes:
        if key.candidate == "edge-only":
            picture = inputs.photograph((self._input_shape[0], self._input_shape[1], self._input_shape[2]))
            return codec.serialize(key, picture.astype(np.float32) if key.wire_format == "float32" else picture)
        return codec.serialize(key, stand_in(self._plan.payload_bytes.get(key, 4) // 4))


def stand_in(elements: int) -> NDArray[np.float32]:
    """An activation of so many elements, [1, elements]: positive, never denormal, the same each time."""
    values: NDArray[np.float32] = np.random.default_rng(0).standard_normal((1, elements), dtype=np.float32)
    np.abs(values, out=values)
    values += np.float32(1e-3)
    return values


def edge_of(arguments: Mapping[str, Any]) -> ReplayedEdge | None:
    """The edge that a control request `load` asks for; None where it asks for one that computes."""
    if "recording" not in arguments:
        return None
    return ReplayedEdge(Plan(arguments["recording"]), arguments["model"]["input_shape"])
