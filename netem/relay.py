"""The delay of a link in user space, for kernels without ``sch_netem``: ``python -m netem.relay OPTIONS``.

Two TAP interfaces, one in each network namespace; this process reads an Ethernet frame from one and writes
it to the other when it is due. The rate is not its business: tbf on the sender's TAP interface hands the
frames out at the link's pace. TAP rather than TUN, so that tbf counts whole Ethernet frames, as the theory
does; neither offers segmentation offload, so a frame here is a frame on the wire.

Standard input takes one JSON object a line and answers each with one on standard output:
``{"delays_us": [up, down]}`` sets the delays in place, ``{"reset": true}`` zeroes the counters, and both,
like ``{}``, are answered with the state (see ``Relay.state``). The end of standard input ends the process.
"""

import fcntl
import gc
import json
import os
import select
import struct
import sys
from bisect import bisect_left
from collections import deque
from itertools import accumulate
from time import monotonic_ns
from typing import Any

from netem import linux

_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_LARGEST_FRAME_BYTES = 9_100
_BIN_NS = 10_000
_BINS = 2_000
"""Lateness is counted in bins of 10 us; the last bin takes all from 20 ms on."""

_NICE = -15


class Direction:
    """One way through the relay: frames wait in order until they are due."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        """Start with no delay; descriptors are non-blocking TAP devices."""
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.delay_ns = 0
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.reset()

    def reset(self) -> None:
        """Zero the counters."""
        self.frames = self.bytes = self.drops = self.latest_ns = 0
        self.lateness_bins = [0] * (_BINS + 1)

    def receive(self) -> None:
        """Take in one frame, with the time at which it is due.

        One a call: at the rates a relay is for, frames come one by one, and looking for a second one costs
        more than the next select.
        """
        try:
            frame = os.read(self.read_fd, _LARGEST_FRAME_BYTES)
        except BlockingIOError:  # select(2) may call a descriptor ready that is not
            return
        self.waiting.append((monotonic_ns() + self.delay_ns, frame))

    def send_due(self) -> int:
        """Send what is due; returns when the next frame is, in ns of the monotonic clock, or 0 for none.

        First in, first out: after a delay was shortened, frames wait for those ahead of them.
        """
        waiting = self.waiting
        while waiting:
            due_ns, frame = waiting[0]
            late_ns = monotonic_ns() - due_ns
            if late_ns < 0:
                return due_ns
            waiting.popleft()
            try:
                os.write(self.write_fd, frame)
            except OSError:  # the other interface is down or its queue is full: a link loses such frames
                self.drops += 1
                continue
            self.frames += 1
            self.bytes += len(frame)
            self.lateness_bins[min(late_ns // _BIN_NS, _BINS)] += 1
            self.latest_ns = max(self.latest_ns, late_ns)
        return 0

    def state(self) -> dict[str, int | float]:
        """Counters since the last reset; lateness is the time from due to sent, in milliseconds."""
        return {
            "delay_us": self.delay_ns // 1000,
            "frames": self.frames,
            "bytes": self.bytes,
            "drops": self.drops,
            "waiting": len(self.waiting),
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

    def __init__(self, device_fd: int, edge_fd: int, scheduling: str) -> None:
        """Take two non-blocking TAP descriptors; ``scheduling`` is only reported."""
        self.up = Direction(device_fd, edge_fd)
        self.down = Direction(edge_fd, device_fd)
        self.scheduling = scheduling

    def run(self, control_fd: int, answer_fd: int) -> None:
        """Relay until the end of file on ``control_fd``."""
        directions = {self.up.read_fd: self.up, self.down.read_fd: self.down}
        sources = [*directions, control_fd]
        partial = b""
        while True:
            dues = [due for direction in directions.values() if (due := direction.send_due())]
            timeout_s = max(0, min(dues) - monotonic_ns()) / 1e9 if dues else None
            # select(2) takes microseconds; Python's epoll and poll round up to milliseconds.
            for fd in select.select(sources, (), (), timeout_s)[0]:
                if fd in directions:
                    directions[fd].receive()
                    continue
                chunk = os.read(control_fd, 4096)
                if not chunk:
                    return
                *lines, partial = (partial + chunk).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
                    os.write(answer_fd, json.dumps(self.state()).encode() + b"\n")

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
        if "delays_us" in command:
            self.up.delay_ns, self.down.delay_ns = (1000 * delay_us for delay_us in command["delays_us"])
        if command.get("reset"):
            self.up.reset()
            self.down.reset()


def main(argv: list[str]) -> int:
    """Open both TAP interfaces and relay.

    Args:
        argv: one JSON object: ``device`` and ``edge`` (paths of the network namespaces), ``interfaces``
            (the two TAP names, device first).
    """
    options: dict[str, Any] = json.loads(argv[0])
    pairs = zip(("device", "edge"), options["interfaces"], strict=True)
    try:
        device_tap, edge_tap = [_open_tap(options[where], name) for where, name in pairs]
    except OSError as error:
        print(json.dumps({"error": f"{error.filename or 'TAP interface'}: {error.strerror}"}), flush=True)
        return 1
    linux.set_timer_slack_ns(1)
    gc.disable()  # nothing here makes cycles, and a collection is a pause
    relay = Relay(device_tap, edge_tap, _schedule_first())
    print(json.dumps(relay.state()), flush=True)
    relay.run(sys.stdin.fileno(), sys.stdout.fileno())
    return 0


def _open_tap(namespace: str, name: str) -> int:
    descriptor = os.open(namespace, os.O_RDONLY)
    linux.setns(descriptor, linux.CLONE_NEWNET)
    os.close(descriptor)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return tap


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
