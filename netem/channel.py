"""One direction of a link as arithmetic: when a frame that came at t leaves, if it does. Pure: no clock, no I/O.

A queue of limited size, a token bucket, then the medium (loss, jitter, reordering, duplicates, corruption):

    departure_k = max(arrival_k, departure_(k-1), empty + L_k 8 / R),     due_k = departure_k + delay (+ jitter)

``empty`` is the moment at which the bucket would have been empty; it never lies further back than the bucket
takes to fill. This is tbf's rule without its granularity, and, other than tbf's, the bucket keeps its level
when the rate changes (``tbf_change`` fills it: each change would let a burst through). Times are in
nanoseconds of one clock; frames are Ethernet frames, as tbf counts them.
"""

import random
from bisect import insort
from collections import deque
from collections.abc import Mapping
from itertools import islice
from operator import itemgetter
from typing import Any

from netem.distributions import SCALE, table

_due = itemgetter(0)
_ETHERNET_HEADER_BYTES = 14


class Channel:
    """One direction. Frames go in by ``admit`` in order of arrival and come out by ``due``.

    Attributes:
        lost: frames that the spec lost. ``overflowed``: frames that found the queue full.
    """

    def __init__(self, parameters: Mapping[str, Any], now_ns: float = 0.0) -> None:
        """Begin with empty queues and a full bucket; parameters as in ``change``."""
        self.queue: deque[tuple[float, bytes]] = deque()
        self.queued_bytes = 0
        self.line: deque[tuple[float, bytes]] = deque()
        self.lost = self.overflowed = self.duplicated = self.corrupted = self.reordered = 0
        self._departed_ns = now_ns
        self._empty_ns = float("-inf")
        self._ns_per_byte = self._fill_ns = self.delay_ns = self._jitter_ns = 0.0
        self._bad_state = False
        self._last_jitter = 0.0
        self._random = random.Random()
        self.change(parameters, now_ns)
        self.reseed()

    def change(self, parameters: Mapping[str, Any], now_ns: float) -> None:
        """Set all parameters in place; what has left the queue by now stays as it was.

        Args:
            parameters: ``rate_mbps``, ``delay_us``, ``burst_bytes``, ``queue_bytes``, ``seed`` (any text or
                number), ``jitter_us``, ``jitter_distribution``, ``jitter_correlation``, ``reorder``,
                ``duplicate``, ``corrupt``, and ``loss``: a probability, or a list of the Gilbert-Elliott
                ``[to_bad, to_good, loss_bad, loss_good]``.
            now_ns: the moment of the change.
        """
        if self.queue:
            self.serve(now_ns)
        ns_per_byte = 8e3 / parameters["rate_mbps"]
        if self._empty_ns > float("-inf"):  # the same tokens at the new rate
            level = max(0.0, min(now_ns - self._empty_ns, self._fill_ns)) / self._ns_per_byte
            debt_ns = max(0.0, self._empty_ns - now_ns)
            self._empty_ns = now_ns + debt_ns - min(level, parameters["burst_bytes"]) * ns_per_byte
        self.parameters = dict(parameters)
        self._ns_per_byte = ns_per_byte
        self._fill_ns = parameters["burst_bytes"] * ns_per_byte
        self.delay_ns = float(parameters["delay_us"] * 1e3)
        self._jitter_ns = float(parameters["jitter_us"] * 1e3)
        self._table = table(parameters["jitter_distribution"]) if self._jitter_ns else ()
        self.ordered = not (self._jitter_ns or parameters["reorder"])
        self._plain = self.ordered and not (parameters["loss"] or parameters["duplicate"] or parameters["corrupt"])

    def reseed(self) -> None:
        """Begin the random numbers anew, so that the same frames meet the same fate."""
        self._random.seed(self.parameters["seed"])
        self._bad_state = False
        self._last_jitter = 0.0

    @property
    def least_delay_ns(self) -> float:
        """No frame crosses in less: how long one may look away."""
        if self.parameters["reorder"]:
            return 0.0
        return max(0.0, self.delay_ns - 4 * self._jitter_ns)

    def admit(self, arrival_ns: float, frame: bytes) -> None:
        """Take a frame in, or drop it if the queue is full by then."""
        if self.queue:
            self.serve(arrival_ns)
        if self.queued_bytes + len(frame) > self.parameters["queue_bytes"]:
            self.overflowed += 1
            return
        self.queue.append((arrival_ns, frame))
        self.queued_bytes += len(frame)

    def serve(self, now_ns: float) -> None:
        """Move what has left the queue by now onto the line."""
        while self.queue:
            arrival_ns, frame = self.queue[0]
            start_ns = max(arrival_ns, self._departed_ns)
            empty_ns = max(self._empty_ns, start_ns - self._fill_ns) + len(frame) * self._ns_per_byte
            departure_ns = max(start_ns, empty_ns)
            if departure_ns > now_ns:
                return
            self.queue.popleft()
            self.queued_bytes -= len(frame)
            self._departed_ns, self._empty_ns = departure_ns, empty_ns
            if self._plain:
                due_ns = departure_ns + self.delay_ns
                if self.line and due_ns < self.line[-1][0]:  # after the delay was shortened: first in, first out
                    due_ns = self.line[-1][0]
                self.line.append((due_ns, frame))
            else:
                self._pass(departure_ns, frame)

    def due(self, now_ns: float) -> list[tuple[float, bytes]]:
        """Take out, in order, the frames that are due by now, each with the moment it was due."""
        self.serve(now_ns)
        line, taken = self.line, []
        while line and line[0][0] <= now_ns:
            taken.append(line.popleft())
        return taken

    def wake_ns(self, batch_ns: float) -> float:
        """When the last of the frames is due that come within ``batch_ns`` of the next one; inf for none.

        Frames whose successor is known can wait for it: the last frame of a message is then never late. Where frames
        may overtake, one that is still in the queue can be due before all on the line.
        """
        if not self.line:
            return self._queue_wake_ns(batch_ns)
        first_ns = last_ns = self.line[0][0]
        for due_ns, _ in islice(self.line, 1, 64):
            if due_ns > first_ns + batch_ns:
                break
            last_ns = due_ns
        if self.ordered or not self.queue:
            return last_ns
        return min(last_ns, self._queue_wake_ns(batch_ns))

    def _queue_wake_ns(self, batch_ns: float) -> float:
        """The same of the frames in the queue, each due as soon as it can be."""
        first_ns = last_ns = float("inf")
        departed_ns, empty_ns = self._departed_ns, self._empty_ns
        for arrival_ns, frame in islice(self.queue, 64):
            start_ns = max(arrival_ns, departed_ns)
            empty_ns = max(empty_ns, start_ns - self._fill_ns) + len(frame) * self._ns_per_byte
            departed_ns = max(start_ns, empty_ns)
            due_ns = departed_ns + self.least_delay_ns
            if first_ns == float("inf"):
                first_ns = due_ns
            if due_ns > first_ns + batch_ns:
                break
            last_ns = due_ns
        return last_ns

    def _pass(self, departure_ns: float, frame: bytes) -> None:
        parameters, chance = self.parameters, self._random.random
        if parameters["loss"] and self._is_lost():
            self.lost += 1
            return
        copies = 1
        if parameters["duplicate"] and chance() < parameters["duplicate"]:
            copies = 2
            self.duplicated += 1
        if parameters["corrupt"] and chance() < parameters["corrupt"]:
            frame = self._corrupted(frame)
            self.corrupted += 1
        for _ in range(copies):
            due_ns = departure_ns + self.delay_ns
            if parameters["reorder"] and chance() < parameters["reorder"]:
                due_ns = departure_ns
                self.reordered += 1
            elif self._jitter_ns:
                due_ns = max(departure_ns, due_ns + self._jitter())
            if self.line and due_ns < self.line[-1][0]:
                insort(self.line, (due_ns, frame), key=_due)
            else:
                self.line.append((due_ns, frame))

    def _is_lost(self) -> bool:
        loss, chance = self.parameters["loss"], self._random.random
        if isinstance(loss, int | float):
            return bool(chance() < loss)
        to_bad, to_good, loss_bad, loss_good = loss
        # As in the kernel: the state moves first, the loss is that of the state it moved from.
        was_bad = self._bad_state
        if chance() < (to_good if was_bad else to_bad):
            self._bad_state = not was_bad
        return bool(chance() < (loss_bad if was_bad else loss_good))

    def _jitter(self) -> float:
        # The kernel's get_crandom(): the correlated value picks the entry of the table.
        rho: float = self.parameters["jitter_correlation"]
        self._last_jitter = (1 - rho) * self._random.random() + rho * self._last_jitter
        return self._jitter_ns * self._table[int(self._last_jitter * len(self._table))] / SCALE

    def _corrupted(self, frame: bytes) -> bytes:
        changed = bytearray(frame)
        changed[self._random.randrange(_ETHERNET_HEADER_BYTES, len(frame))] ^= 1 << self._random.randrange(8)
        return bytes(changed)
