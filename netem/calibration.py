"""What the path takes beyond the delay asked for, on any backend: measured once, then taken off the delay.

A delay by ``sch_netem`` ends with a timer and the waking of whoever waits for the packet, the relay's with the waking
of the relay: 0.1 to 0.4 ms each way on virtual machines, half of it for a core that had gone to sleep meanwhile.
"""

from collections.abc import Callable
from dataclasses import replace

from netem import echo
from netem.impairments import UNIMPAIRED
from netem.link import LinkSpec
from netem.namespaces import Sandbox
from netem.units import microseconds

_DELAYS_MS = (4.0, 20.0)
"""Known delay while calibrating: the spec's own within these bounds. A core that has slept longer wakes later
(0.1 ms more after 14 ms than after 4 ms on a virtual machine); past 20 ms it would only take time."""

_FAST_MBPS = 1000.0


def latency_us(sandbox: Sandbox, spec: LinkSpec, change: Callable[[LinkSpec], object]) -> int:
    """One-way latency of the path itself, whole microseconds: half of what an echo takes beyond a known delay.

    The echo is the kernel's at the edge, so nothing but the path and the waking of one process is in the figure.

    Args:
        sandbox: where the link is.
        spec: the link; what is left in force is another one.
        change: makes the link another one in place, with nothing taken off its delays.

    Raises:
        ShapingError: an echo did not come back.
    """
    low_ms, high_ms = _DELAYS_MS
    known_ms = min(max(spec.rtt_ms / 2, low_ms), high_ms)
    known = replace(
        spec,
        rate_up_mbps=_FAST_MBPS,
        rate_down_mbps=_FAST_MBPS,
        delay_up_ms=known_ms,
        delay_down_ms=known_ms,
        impairments_up=UNIMPAIRED,
        impairments_down=UNIMPAIRED,
    )
    change(known)
    return max(0, microseconds(ping_median_ms(sandbox) - 2 * known_ms) // 2)


def ping_median_ms(sandbox: Sandbox) -> float:
    """Median RTT of small ICMP echoes from the device to the edge, in milliseconds.

    Raises:
        ShapingError: an echo did not come back within two seconds.
    """
    with sandbox.call("device", echo.icmp_socket) as sock:
        return echo.median_ms(sock, sandbox.address("edge"))
