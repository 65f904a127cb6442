"""Starts a relay inside a sandbox, talks to it, and calibrates its own latency out."""

import json
import select
import socket
import statistics
import struct
import subprocess
import time
from dataclasses import replace
from typing import Any

from netem.errors import CapabilityError, ShapingError
from netem.impairments import GilbertElliott, Impairments
from netem.link import ETHERNET_HEADER_BYTES, LinkSpec
from netem.namespaces import Sandbox, module_argv
from netem.units import microseconds

_ANSWER_TIMEOUT_S = 5.0
_CALIBRATION_PINGS = 11
_CALIBRATION_DELAYS_MS = (4.0, 20.0)
"""Known delay while calibrating: the spec's own within these bounds. A core that has slept longer wakes later
(0.1 ms more after 14 ms than after 4 ms on a virtual machine); past 20 ms it would only take time."""

_UNIMPAIRED = LinkSpec(rate_up_mbps=1000, rate_down_mbps=1000, delay_up_ms=0, delay_down_ms=0)
"""What is calibrated on: an echo must come back, whatever the spec loses."""

_ICMP_ECHO_REQUEST = 8
_ICMP_ECHO_REPLY = 0
_PING_TIMEOUT_S = 2.0


class RelayClient:
    """A running relay. It ends with its sandbox; ``close`` ends it earlier.

    Args:
        sandbox: where it runs.
        interfaces: the two in the middle namespace, the device's side first.
        cpu: the core it is pinned to; None leaves it free.
        spec: the link.

    Raises:
        CapabilityError: it may not open its interfaces.
    """

    def __init__(self, sandbox: Sandbox, interfaces: tuple[str, str], cpu: int | None, spec: LinkSpec) -> None:
        """Start the process and wait until it carries frames."""
        options = {
            "interfaces": interfaces,
            "largest_frame_bytes": spec.mtu + ETHERNET_HEADER_BYTES,
            **channel_parameters(spec),
        }
        self.compensation_us = 0
        self._process = sandbox.popen(
            "middle",
            module_argv("netem.relay", json.dumps(options)),
            cpu=cpu,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        first = self._answer()
        if "error" in first:
            raise CapabilityError(
                f"the relay cannot open its interfaces ({first['error']}): it needs CAP_NET_RAW in its own "
                "network namespace and AF_PACKET in the kernel; run as root, or allow user namespaces"
            )

    def close(self) -> None:
        """End the relay; its interfaces go with it."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(_ANSWER_TIMEOUT_S)

    def change(self, spec: LinkSpec) -> dict[str, Any]:
        """Set everything in place, the delays less what the relay itself takes; returns what is then in force."""
        return self._ask(channel_parameters(spec, self.compensation_us))

    def reset(self) -> None:
        """Zero the counters and begin the random numbers anew: the same frames then meet the same fate."""
        self._ask({"reset": True})

    def statistics(self) -> dict[str, Any]:
        """Counters and lateness per direction, scheduling, affinity and CPU seconds (see ``netem.relay``)."""
        return self._ask({}) | {"compensation_us": self.compensation_us}

    def calibrate(self, sandbox: Sandbox, spec: LinkSpec) -> None:
        """Measure what the path takes beyond a known delay, then set the spec's delays less that.

        The echo is the kernel's at the edge, so nothing but the path, the relay and the waking of one
        process is in the figure.
        """
        low_ms, high_ms = _CALIBRATION_DELAYS_MS
        known_ms = min(max(spec.rtt_ms / 2, low_ms), high_ms)
        self.compensation_us = 0
        self.change(replace(_UNIMPAIRED, delay_up_ms=known_ms, delay_down_ms=known_ms))
        excess_us = microseconds(ping_median_ms(sandbox, _CALIBRATION_PINGS) - 2 * known_ms)
        self.compensation_us = max(0, excess_us // 2)
        self.change(spec)
        self.reset()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        try:
            if stdin is None:
                raise BrokenPipeError
            stdin.write(json.dumps(command).encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise ShapingError("the relay has ended, so the link is down: apply the link again") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        stdout = self._process.stdout
        if stdout is None or not select.select([stdout], [], [], _ANSWER_TIMEOUT_S)[0]:
            raise ShapingError(f"the relay is silent for {_ANSWER_TIMEOUT_S:g} s: apply the link again")
        line = stdout.readline()
        if not line:
            raise ShapingError("the relay has ended, so the link is down: its standard error says why")
        answer: dict[str, Any] = json.loads(line)
        return answer


def ping_median_ms(sandbox: Sandbox, count: int) -> float:
    """Median RTT of small ICMP echoes from the device to the edge, in milliseconds.

    Raises:
        ShapingError: an echo did not come back within two seconds.
    """

    def icmp_socket() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    with sandbox.call("device", icmp_socket) as sock:
        sock.settimeout(_PING_TIMEOUT_S)
        sock.connect((sandbox.address("edge"), 0))
        # The first echo pays for code that has not run yet.
        return statistics.median([_ping_ms(sock, sequence) for sequence in range(count + 1)][1:])


def _ping_ms(sock: socket.socket, sequence: int) -> float:
    header = struct.pack("!BBHHH", _ICMP_ECHO_REQUEST, 0, 0, 0, sequence)
    total = sum(struct.unpack("!4H", header))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    start = time.perf_counter()
    sock.send(struct.pack("!BBHHH", _ICMP_ECHO_REQUEST, 0, checksum, 0, sequence))
    try:
        while True:
            packet = sock.recv(2048)
            elapsed_ms = (time.perf_counter() - start) * 1e3
            icmp = packet[4 * (packet[0] & 0x0F) :]
            if icmp[0] == _ICMP_ECHO_REPLY and struct.unpack_from("!H", icmp, 6)[0] == sequence:
                return elapsed_ms
    except TimeoutError as error:
        raise ShapingError(
            f"no echo over the new link within {_PING_TIMEOUT_S:g} s: packets are lost; is a firewall in force?"
        ) from error


def channel_parameters(spec: LinkSpec, compensation_us: int = 0) -> dict[str, dict[str, Any]]:
    """What the two channels of the relay are told (see ``netem.channel.Channel.change``)."""
    return {
        "up": _parameters(spec, spec.rate_up_mbps, spec.delay_up_ms, spec.impairments_up, "up", compensation_us),
        "down": _parameters(
            spec, spec.rate_down_mbps, spec.delay_down_ms, spec.impairments_down, "down", compensation_us
        ),
    }


def _parameters(
    spec: LinkSpec, rate_mbps: float, delay_ms: float, impairments: Impairments, way: str, compensation_us: int
) -> dict[str, Any]:
    loss: float | list[float]
    if isinstance(impairments.loss, GilbertElliott):
        model = impairments.loss
        loss = [model.to_bad, model.to_good, model.loss_bad, model.loss_good]
    else:
        loss = impairments.loss
    return {
        "rate_mbps": rate_mbps,
        "delay_us": max(0, microseconds(delay_ms) - compensation_us),
        "burst_bytes": spec.burst_bytes,
        "queue_bytes": spec.queue_limit_bytes,
        "seed": f"{spec.seed} {way}",
        "jitter_us": microseconds(impairments.jitter_ms),
        "jitter_distribution": impairments.jitter_distribution,
        "jitter_correlation": impairments.jitter_correlation,
        "loss": loss,
        "reorder": impairments.reorder,
        "duplicate": impairments.duplicate,
        "corrupt": impairments.corrupt,
    }
