"""What a link is: one immutable spec, checked when it is made."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from netem.errors import LinkSpecError
from netem.impairments import UNIMPAIRED, Impairments
from netem.units import parse_duration_ms, parse_rate_mbps

RATE_MBPS_RANGE = (0.064, 10_000.0)
"""From one ISDN channel to 10 GbE; htb's 32-bit rate field ends at 34 Gbit/s."""

DELAY_MS_RANGE = (0.0, 10_000.0)
MTU_RANGE = (576, 9_000)
"""RFC 791 has every host accept 576 bytes; 9,000 is the usual jumbo frame."""

INITIAL_WINDOW_RANGE = (1, 1_000)
"""Segments; what providers set on their routes lies between 10 and 100."""

ETHERNET_HEADER_BYTES = 14
"""What the kernel's qdiscs count on top of the IP packet (no preamble, no frame check sequence)."""

DEFAULT_BURST_BYTES = 15_000
"""Ten full frames. A bucket of 256 kB lets 0.1 MB through in 0.2 ms, so that small tensors never feel the
link; one frame costs 5 to 8 % of the rate; about 16 kB is right at 30 to 60 Mbit/s (measured)."""

LARGEST_SEND_BUFFER_BYTES = 4_194_304
"""Linux' default for the third value of tcp_wmem: one connection never has more in flight."""

LARGEST_BUFFER_BYTES = 2**30 - 1
"""The kernel's socket buffers (tcp_rmem) and queues (bfifo's limit) are signed 32-bit numbers, and a queue takes twice
a buffer. No payload is that large."""

BANDWIDTH_DELAY_PRODUCTS = 4
"""Send buffers hold payload and its bookkeeping; with four times the bandwidth-delay product the window,
not the buffer, is what limits a connection."""


def _check_range(name: str, value: float, allowed: tuple[float, float], *, whole: bool = False) -> None:
    low, high = allowed
    kind = "a whole number" if whole else "a number"
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise LinkSpecError(f"{name} is {value!r}: allowed is {kind} from {low:g} to {high:g}")


@dataclass(frozen=True)
class TcpPolicy:
    """What TCP does at both ends, so that results do not depend on the host's defaults.

    Attributes:
        congestion_control: put on the routes of the link (route metric ``congctl``); None keeps the host's.
            BBR keeps its bandwidth estimate low when requests never fill the pipe: 40 kB then take 41 ms
            where theory says 33.6 and cubic gives 33.0.
        slow_start_after_idle: whether a connection starts again from ten segments after an idle second.
        save_metrics: whether the kernel carries windows and RTTs from one connection over to the next.
        initial_window_segments: first window of a connection, put on the routes of the link (``initcwnd``); ten is
            RFC 6928's and Linux' own.
    """

    congestion_control: str | None = "cubic"
    slow_start_after_idle: bool = False
    save_metrics: bool = False
    initial_window_segments: int = 10

    def __post_init__(self) -> None:
        """Raise LinkSpecError for a name the kernel cannot hold (TCP_CA_NAME_MAX is 16 with the zero), or no window."""
        _check_range("initial_window_segments", self.initial_window_segments, INITIAL_WINDOW_RANGE, whole=True)
        name = self.congestion_control
        if name is not None and not (0 < len(name) < 16 and name.isascii() and name.isprintable()):
            raise LinkSpecError(
                f"congestion_control is {name!r}: allowed are 1 to 15 ASCII characters, such as cubic; "
                "see /proc/sys/net/ipv4/tcp_available_congestion_control"
            )


@dataclass(frozen=True)
class LinkSpec:
    """One link between a device and an edge.

    Attributes:
        rate_up_mbps: device to edge, Mbit/s, counting Ethernet frames without preamble and checksum.
        rate_down_mbps: edge to device, Mbit/s.
        delay_up_ms: one-way propagation delay from device to edge.
        delay_down_ms: one-way propagation delay from edge to device.
        queue_bytes: what may wait before the bottleneck, each way; None takes
            ``default_queue_bytes``, which one TCP connection cannot overflow.
        mtu: largest IP packet, bytes.
        burst_bytes: size of the token bucket that holds the rate.
        tcp: what TCP does at both ends.
        impairments_up, impairments_down: jitter, loss, reordering and the like, each way.
        seed: of all that is random. The relay then drops the same packets every time; the kernel's netem
            takes a seed from Linux 6.6 on.

    Raises:
        LinkSpecError: a value is not finite or out of range.
    """

    rate_up_mbps: float
    rate_down_mbps: float
    delay_up_ms: float
    delay_down_ms: float
    queue_bytes: int | None = None
    mtu: int = 1500
    burst_bytes: int = DEFAULT_BURST_BYTES
    tcp: TcpPolicy = TcpPolicy()
    impairments_up: Impairments = UNIMPAIRED
    impairments_down: Impairments = UNIMPAIRED
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every range (see the class)."""
        for name in ("rate_up_mbps", "rate_down_mbps"):
            _check_range(name, getattr(self, name), RATE_MBPS_RANGE)
        for name in ("delay_up_ms", "delay_down_ms"):
            _check_range(name, getattr(self, name), DELAY_MS_RANGE)
        _check_range("mtu", self.mtu, MTU_RANGE, whole=True)
        frame = self.mtu + ETHERNET_HEADER_BYTES
        _check_range("burst_bytes", self.burst_bytes, (frame, 10_000_000), whole=True)
        if self.queue_bytes is not None:
            _check_range("queue_bytes", self.queue_bytes, (frame, 1_000_000_000), whole=True)
        _check_range("seed", self.seed, (0, 2**63 - 1), whole=True)

    @classmethod
    def parse(cls, rate: str, rtt: str = "0ms", *, rate_down: str | None = None, **others: Any) -> "LinkSpec":
        """A spec from text: ``LinkSpec.parse("57mbit", "28ms", rate_down="1gbit")``.

        Args:
            rate: device to edge, with its unit.
            rtt: round trip, half each way, with its unit.
            rate_down: edge to device; None takes ``rate``.
            others: further attributes of this class, as they are.

        Raises:
            LinkSpecError: no number, no unit, or a value out of range.
        """
        one_way_ms = parse_duration_ms(rtt) / 2
        return cls(parse_rate_mbps(rate), parse_rate_mbps(rate_down or rate), one_way_ms, one_way_ms, **others)

    @property
    def rtt_ms(self) -> float:
        """Round-trip propagation time."""
        return self.delay_up_ms + self.delay_down_ms

    @property
    def send_buffer_bytes(self) -> int:
        """Largest TCP send and receive buffer on this link: Linux' own, or four bandwidth-delay products, if it can."""
        fastest_bytes_per_ms = max(self.rate_up_mbps, self.rate_down_mbps) * 1e6 / 8 / 1e3
        wanted = max(LARGEST_SEND_BUFFER_BYTES, round(BANDWIDTH_DELAY_PRODUCTS * fastest_bytes_per_ms * self.rtt_ms))
        return min(LARGEST_BUFFER_BYTES, wanted)

    @property
    def default_queue_bytes(self) -> int:
        """Twice the largest send buffer: whatever one connection can have in flight, nothing is dropped.

        Headers add 4.6 % to full segments and far more to tiny ones; twice leaves room for both.
        """
        return 2 * self.send_buffer_bytes

    @property
    def queue_limit_bytes(self) -> int:
        """The queue in force: the one asked for, or the default."""
        return self.default_queue_bytes if self.queue_bytes is None else self.queue_bytes

    def as_dict(self) -> dict[str, Any]:
        """Every attribute, plus ``rtt_ms`` and the queue in force, as plain JSON types."""
        return asdict(self) | {"rtt_ms": self.rtt_ms, "queue_bytes": self.queue_limit_bytes}
