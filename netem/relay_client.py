"""Starts a relay inside a sandbox and talks to it."""

import json
import select
import subprocess
import threading
from contextlib import suppress
from typing import Any

from netem.errors import CapabilityError, ShapingError
from netem.impairments import GilbertElliott, Impairments
from netem.link import ETHERNET_HEADER_BYTES, LinkSpec
from netem.namespaces import Sandbox, module_argv
from netem.units import microseconds

_ANSWER_TIMEOUT_S = 5.0


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
        self._asking = threading.Lock()  # a trace is replayed by a thread of its own
        self._silent = False
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
        """End the relay, dead already or hanging as it may be; its interfaces go with it."""
        if self._process.stdin:
            with suppress(BrokenPipeError):  # what a dead relay was last told is still in the buffer
                self._process.stdin.close()
        try:
            self._process.wait(_ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check_alive(self) -> None:
        """Raise ShapingError if the relay has ended: nothing crosses the link any more."""
        code = self._process.poll()
        if code is not None:
            raise ShapingError(f"the relay has ended with code {code}, so the link is down: apply the link again")

    def change(self, spec: LinkSpec, compensation_us: int) -> dict[str, Any]:
        """Set everything in place, the delays less what the path itself takes; returns what is then in force."""
        return self._ask(channel_parameters(spec, compensation_us))

    def reset(self) -> None:
        """Zero the counters and begin the random numbers anew: the same frames then meet the same fate."""
        self._ask({"reset": True})

    def statistics(self) -> dict[str, Any]:
        """Counters and lateness per direction, scheduling, affinity and CPU seconds (see ``netem.relay``)."""
        return self._ask({})

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        with self._asking:
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
        # An answer that comes too late would be taken for that to the next question.
        self._silent = self._silent or stdout is None or not select.select([stdout], [], [], _ANSWER_TIMEOUT_S)[0]
        if stdout is None or self._silent:
            raise ShapingError(f"the relay is silent for {_ANSWER_TIMEOUT_S:g} s: apply the link again")
        line = stdout.readline()
        if not line:
            raise ShapingError("the relay has ended, so the link is down: its standard error says why")
        answer: dict[str, Any] = json.loads(line)
        return answer


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
