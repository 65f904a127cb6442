"""A link in user space, for kernels without ``sch_netem``: ``python -m netem.relay OPTIONS``.

It stands in a network namespace between the tiers and carries Ethernet frames from one interface to the other:
rate, queue, delay, jitter, loss and the rest are those of ``netem.channel``.

AF_PACKET on a pair of veths rather than TUN or TAP, by measurement (60 Mbit/s, 28 ms, one core of a virtual
machine): reading a TAP interface takes a select and a read a frame, because the frame must be read at once for its
time to be known: 38 % of a core at 60 Mbit/s. The ring of AF_PACKET holds frames with the kernel's time of arrival,
so this process sleeps until frames are due, and sends those that are due within ``BATCH_NS`` together: 18 %.
It needs no /dev/net/tun either, and so runs rootless everywhere. The rate is done here and not by a qdisc:
exact to the nanosecond, whenever this process wakes.

Standard input takes one JSON object a line and answers each with one on standard output: ``{"up": PARAMETERS,
"down": PARAMETERS}`` changes the channels in place, ``{"reset": true}`` zeroes the counters and begins the random
numbers anew, and both, like ``{}``, are answered with the state (see ``Relay.state``). The end of standard
input ends the process.
"""

import gc
import json
import os
import select
import signal
import sys
from bisect import bisect_left
from itertools import accumulate
from time import monotonic_ns
from typing import Any

from netem import linux
from netem.channel import Channel
from netem.packet_ring import PacketRing

BATCH_NS = 700_000
"""How long a frame waits at most for the ones behind it; only ever for frames that are known to follow."""

_JITTERED_BATCH_NS = 200_000
"""The same where jitter is asked for: what waiting adds to its deviation stays below a tenth of a millisecond."""

_BIN_NS = 10_000
_BINS = 2_000
"""Lateness is counted in bins of 10 us; the last bin takes all from 20 ms on."""

_WATCH_NS = 100_000
"""A channel that is due to be looked at this soon is watched instead: the kernel wakes this process."""

_LOOK_AWAY_NS = 20_000_000
"""The longest time that frames may gather in the ring, which holds 8,192 of them (of 9,000 bytes 1,024)."""

_NICE = -15


class Direction:
    """One way through the relay."""

    def __init__(self, source: PacketRing, target: PacketRing, parameters: dict[str, Any]) -> None:
        """Carry frames from the source to the target."""
        self.source = source
        self.target = target
        self.channel = Channel(parameters, monotonic_ns())
        self.scanned_ns = 0.0
        self.changed_ns = monotonic_ns()
        self.send_drops = 0
        self.reset()

    def reset(self) -> None:
        """Zero the counters and begin the random numbers anew."""
        self.frames = self.bytes = self.latest_ns = 0
        self.lateness_bins = [0] * (_BINS + 1)
        self._drops_before = self.source.lost() + self.send_drops
        channel = self.channel
        channel.lost = channel.overflowed = channel.duplicated = channel.corrupted = channel.reordered = 0
        channel.reseed()

    def change(self, parameters: dict[str, Any]) -> None:
        """Set all parameters in place; what came before is its time's."""
        self.receive()
        self.changed_ns = monotonic_ns()
        self.channel.change(parameters, self.changed_ns)

    def receive(self) -> None:
        """Take in all frames that have come."""
        self.scanned_ns = monotonic_ns()
        for arrival_ns, frame in self.source.receive():
            self.channel.admit(arrival_ns, frame)

    def send_due(self) -> None:
        """Send all frames that are due."""
        now_ns = monotonic_ns()
        send, bins = self.target.send, self.lateness_bins
        for due_ns, frame in self.channel.due(now_ns):
            try:
                send(frame)
            except OSError:  # the interface is down or its queue is full
                self.send_drops += 1
                continue
            late_ns = int(now_ns - due_ns)
            self.frames += 1
            self.bytes += len(frame)
            bins[min(late_ns // _BIN_NS, _BINS)] += 1
            if late_ns > self.latest_ns:
                self.latest_ns = late_ns

    def look_again_ns(self) -> float:
        """Until when a frame that comes now can wait to be seen."""
        return self.scanned_ns + self.channel.least_delay_ns

    def state(self) -> dict[str, Any]:
        """Counters since the last reset; lateness is the time from due to sent, in milliseconds."""
        channel = self.channel
        return {
            "parameters": channel.parameters,
            "changed_ns": self.changed_ns,  # of the monotonic clock: from when on these hold
            "frames": self.frames,
            "bytes": self.bytes,
            # What nobody asked for: frames that found the ring or the other interface full.
            "drops": self.source.lost() + self.send_drops - self._drops_before,
            "lost": channel.lost,
            "overflowed": channel.overflowed,
            "duplicated": channel.duplicated,
            "corrupted": channel.corrupted,
            "reordered": channel.reordered,
            "waiting": len(channel.queue) + len(channel.line),
            "lateness_p50_ms": self._lateness_ms(0.5),
            "lateness_p99_ms": self._lateness_ms(0.99),
            "lateness_max_ms": self.latest_ns / 1e6,
        }

    def _lateness_ms(self, quantile: float) -> float:
        if not self.frames:
            return 0.0
        index = bisect_left(list(accumulate(self.lateness_bins)), quantile * self.frames)
        return (index + 0.5) * _BIN_NS / 1e6


class Relay:
    """Both directions and the channel that controls them."""

    def __init__(self, up: Direction, down: Direction, scheduling: str) -> None:
        """Take both directions; ``scheduling`` is only reported."""
        self.up = up
        self.down = down
        self.scheduling = scheduling

    def run(self, control_fd: int, answer_fd: int) -> None:
        """Relay until the end of file on ``control_fd``."""
        directions = (self.up, self.down)
        partial = b""
        while True:
            for direction in directions:
                direction.receive()
                direction.send_due()
            wake_ns, watched = self._next_wake()
            timeout_s = None if wake_ns == float("inf") else max(0.0, wake_ns - monotonic_ns()) / 1e9
            # select(2) takes microseconds; Python's epoll and poll round up to milliseconds.
            sources: list[int | PacketRing] = [control_fd, *watched]
            if control_fd not in select.select(sources, (), (), timeout_s)[0]:
                continue
            chunk = os.read(control_fd, 65_536)
            if not chunk:
                return
            *lines, partial = (partial + chunk).split(b"\n")
            for line in lines:
                self._obey(json.loads(line))
                os.write(answer_fd, json.dumps(self.state()).encode() + b"\n")

    def _next_wake(self) -> tuple[float, list[PacketRing]]:
        wake_ns = float("inf")
        watched = []
        now_ns = monotonic_ns()
        for direction in (self.up, self.down):
            due_ns = direction.channel.wake_ns(BATCH_NS if direction.channel.ordered else _JITTERED_BATCH_NS)
            if due_ns == float("inf"):
                watched.append(direction.source)
            elif direction.channel.ordered:  # whatever comes now is due behind what is known
                wake_ns = min(wake_ns, due_ns, now_ns + _LOOK_AWAY_NS)
            else:
                again_ns = min(direction.look_again_ns(), now_ns + _LOOK_AWAY_NS)
                if again_ns <= now_ns + _WATCH_NS:
                    watched.append(direction.source)
                    again_ns = due_ns
                wake_ns = min(wake_ns, due_ns, again_ns)
        return wake_ns, watched

    def state(self) -> dict[str, Any]:
        """Per direction the counters, and how this process is scheduled and what it has used."""
        times = os.times()
        return {
            "up": self.up.state(),
            "down": self.down.state(),
            "scheduling": self.scheduling,
            "cpus": sorted(os.sched_getaffinity(0)),
            "cpu_s": times.user + times.system,
        }

    def _obey(self, command: dict[str, Any]) -> None:
        for direction, parameters in ((self.up, command.get("up")), (self.down, command.get("down"))):
            if parameters:
                direction.change(parameters)
            if command.get("reset"):
                direction.reset()


def main(argv: list[str]) -> int:
    """Open both interfaces and relay.

    Args:
        argv: one JSON object: ``interfaces`` (the two names, device's side first), ``largest_frame_bytes``,
            ``up`` and ``down`` (parameters of ``netem.channel.Channel``).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the owner ends this process
    options: dict[str, Any] = json.loads(argv[0])
    try:
        device, edge = (PacketRing(name, options["largest_frame_bytes"]) for name in options["interfaces"])
    except OSError as error:
        print(json.dumps({"error": f"AF_PACKET socket: {error.strerror}"}), flush=True)
        return 1
    linux.set_timer_slack_ns(1)
    gc.disable()  # nothing here makes cycles, and a collection is a pause
    up, down = Direction(device, edge, options["up"]), Direction(edge, device, options["down"])
    relay = Relay(up, down, _schedule_first())
    print(json.dumps(relay.state()), flush=True)
    relay.run(sys.stdin.fileno(), sys.stdout.fileno())
    return 0


def _schedule_first() -> str:
    """Run before whatever shares the core: real-time if permitted, else nice; returns what it got."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "fifo"
    except OSError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        return f"nice {_NICE}"
    except OSError:
        return "other"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
