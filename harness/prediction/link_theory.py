"""What the link itself costs a request, before gRPC and the server add theirs.

A connection is in one of four states when a request sets out:

    warm   its window is open, nothing waits for acknowledgements
    idle   after a silence: with slow start after idle, the window that the silence left (`netem.windows`)
    cold   connected, first window
    new    TCP's handshake and HTTP/2's settings come first

A new gRPC connection (C-core on both sides, seen on the wire) takes two round trips before the request's first byte:
TCP's, and the one in which the client waits for the server's SETTINGS before it calls the channel ready. Its
acknowledgement of them is a segment of its own ahead of the request. It takes one of the ten of the first window,
and as nine are left and a receiver acknowledges every second segment (RFC 9293, 3.8.6.3), the windows that follow
are 18, 36, ... HTTP/2's own first window of 65,535 bytes (RFC 9113, 6.9.2) limits a request in its first round trip
alone, and only where TCP's first window is larger than Linux' ten segments: the
server learns the message's length from its first five bytes and grants it whole (flow_control.cc, min_progress_size),
and that WINDOW_UPDATE is back after one round trip, when 28 to 42 kB have been sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from harness.errors import SpecError
from netem.bbr import startup_arrivals_ms
from netem.impairments import GilbertElliott, Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.spread import jitter_spread_ms, largest_loss, loss_spread_ms
from netem.theory import HEADER_BYTES, mss_bytes, stalls_ms, transfer_ms
from netem.windows import WindowGrowth, restart_window, slow_start_threshold

Array: TypeAlias = NDArray[np.float64]
State = Literal["warm", "idle", "cold", "new"]

#: Round trips on a new connection before a request's first byte: TCP's handshake, HTTP/2's SETTINGS.
CONNECT_ROUND_TRIPS = 2
#: What HTTP/2 lets out before a WINDOW_UPDATE (RFC 9113, 6.9.2).
HTTP2_WINDOW_BYTES = 65_535
#: Segments of the first window that the acknowledgement of the server's SETTINGS takes.
SETTINGS_SEGMENTS = 1
#: What KServe's message, gRPC's prefix and HTTP/2's frames add to a payload: it decides which round the last
#: segment goes in. On a new connection header fields travel in full (HPACK, RFC 7541). Counted on the wire.
FRAMING_BYTES = {"warm": 120, "idle": 120, "cold": 370, "new": 370}
#: A receiver acknowledges every second segment, and receive offload merges some: the odd one out is held back, so
#: that the flights after the first are together often one segment short of what slow start allows.
HELD_BACK_SEGMENTS = 1
#: What opens a connection's window before anything is measured (conf/link: 5 transfers of 800 kB).
WARMUP_BYTES = 4_000_000

#: Share of the RTT beyond which RACK takes a late segment for a lost one (RFC 8985, 6.2).
REORDERING_WINDOW = 0.25
#: Expected losses in one request beyond which they are no longer repaired one at a time.
MOST_LOSSES = 0.5

_PREDICTABLE = ("cubic", "reno", "bbr")


@dataclass(frozen=True)
class LinkPoint:
    """A link, or a grid of them: the numbers of a LinkSpec that theory needs, as numbers or arrays that broadcast.

    rate_up_mbps, rate_down_mbps: Mbit/s, counting Ethernet frames. delay_up_ms, delay_down_ms: one way.
    """

    rate_up_mbps: float | Array
    rate_down_mbps: float | Array
    delay_up_ms: float | Array
    delay_down_ms: float | Array
    burst_bytes: int
    mtu: int = 1500
    tcp: TcpPolicy = field(default_factory=TcpPolicy)

    @property
    def rtt_ms(self) -> Any:
        """Round-trip propagation time, ms."""
        return self.delay_up_ms + self.delay_down_ms

    @classmethod
    def of(
        cls,
        link: Link,
        *,
        rate_up_mbps: float | Array | None = None,
        rate_down_mbps: float | Array | None = None,
        rtt_ms: float | Array | None = None,
    ) -> LinkPoint:
        """That link with other rates or another round trip (half of it each way), numbers or arrays."""
        own = cls(
            link.rate_up_mbps, link.rate_down_mbps, link.delay_up_ms, link.delay_down_ms,
            link.burst_bytes, link.mtu, link.tcp,
        )  # fmt: skip
        half_ms = None if rtt_ms is None else rtt_ms / 2
        changes: dict[str, Any] = {"rate_up_mbps": rate_up_mbps, "rate_down_mbps": rate_down_mbps}
        changes |= {"delay_up_ms": half_ms, "delay_down_ms": half_ms}
        return replace(own, **{name: value for name, value in changes.items() if value is not None})


Link: TypeAlias = LinkSpec | LinkPoint


def uplink_ms(
    link: Link, payload_bytes: Array, *, state: State = "warm", silence_ms: float | Array | None = None
) -> Array:
    """One-way time of payloads from device to edge, ms; payloads, link and silences broadcast.

    Args:
        link: one link, or a grid.
        payload_bytes: encoded tensors, without framing.
        state: of the connection when the payload is handed over; `new` includes connecting.
        silence_ms: for `idle`, from the end of a transfer to the next one's start.

    Raises:
        SpecError: the state cannot be predicted (see `window_segments`).
    """
    sizes = np.asarray(payload_bytes, dtype=np.float64)
    warm: Array = transfer_ms(
        sizes,
        link.rate_up_mbps,
        link.delay_up_ms,
        link.rtt_ms,
        burst_bytes=link.burst_bytes,
        mss=mss_bytes(link.mtu),
    )
    if state == "warm" or _stays_warm(link, state):
        return warm
    segments = _segments(link, sizes, state)
    connect = CONNECT_ROUND_TRIPS * link.rtt_ms if state == "new" else 0.0
    if link.tcp.congestion_control == "bbr":
        window = window_segments(link, sizes, state=state)
        return warm + connect + _paced_ms(segments, _segment_ms(link), link.rtt_ms, int(window.flat[0]))
    window = window_segments(link, sizes, state=state, silence_ms=silence_ms)
    flown = segments + HELD_BACK_SEGMENTS * (segments > window)
    return warm + connect + stalls_ms(flown, _segment_ms(link), link.rtt_ms, window)


def window_segments(
    link: Link, payload_bytes: Array, *, state: State, silence_ms: float | Array | None = None
) -> Array:
    """Congestion window in segments with which a payload sets out; inf where it does not matter (warm).

    Raises:
        SpecError: the congestion control is the host's own choice or one without a model here, or `idle` comes
            without its silence.
    """
    sizes = np.asarray(payload_bytes, dtype=np.float64)
    if state == "warm" or _stays_warm(link, state):
        return np.full(sizes.shape, np.inf)
    control, first = link.tcp.congestion_control, link.tcp.initial_window_segments
    if state in ("cold", "new"):
        # BBR's window has grown by the client's preface by then; the others' grow only when it limits them.
        taken = SETTINGS_SEGMENTS if state == "new" and control != "bbr" else 0
        most = HTTP2_WINDOW_BYTES // mss_bytes(link.mtu) if state == "new" else first
        return np.full(sizes.shape, float(max(1, min(first - taken, most))))
    if silence_ms is None:
        raise SpecError("an idle connection without its silence: give silence_ms, in ms, or the state warm or cold")
    growth: WindowGrowth = "reno" if control == "reno" else "cubic"
    carried = WARMUP_BYTES / mss_bytes(link.mtu)
    segment_ms = _segment_ms(link)
    threshold = slow_start_threshold(
        segment_ms, link.rtt_ms, growth, carried_segments=carried, initial_window_segments=first
    )
    segments = _segments(link, sizes, state)
    return restart_window(segments, silence_ms, segment_ms, link.rtt_ms, threshold, initial_window_segments=first)


@overload
def downlink_ms(link: LinkSpec, payload_bytes: float) -> float: ...


@overload
def downlink_ms(link: Link, payload_bytes: float | Array) -> Any: ...


def downlink_ms(link: Link, payload_bytes: float | Array) -> Any:
    """One-way time of a response from edge to device, ms: its few segments fit every state's first window."""
    return transfer_ms(
        payload_bytes,
        link.rate_down_mbps,
        link.delay_down_ms,
        link.rtt_ms,
        burst_bytes=link.burst_bytes,
        mss=mss_bytes(link.mtu),
    )


def request_ms(
    link: LinkSpec, payload_bytes: float, response_bytes: float, *, state: State = "warm",
    silence_ms: float | None = None,
) -> float:  # fmt: skip
    """Uplink and downlink of one request together, ms: a link without jitter or loss, no fitted constant.

    Args:
        payload_bytes, response_bytes: encoded tensors, without framing.
        state, silence_ms: of the connection, see `uplink_ms`.

    Raises:
        SpecError: as `uplink_ms`.
    """
    up = uplink_ms(link, np.array([payload_bytes]), state=state, silence_ms=silence_ms)
    return float(up[0]) + downlink_ms(link, response_bytes)


def spread_ms(
    link: LinkSpec, payload_bytes: Array, response_bytes: float, *, checked: bool = True
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """What jitter and random loss add to a warm request: shift of its mean and its standard deviation, ms.

    Args:
        payload_bytes, response_bytes: of a request and its answer.
        checked: whether what has no sound formula is refused. A link that differs a little from one that was found
            predictable, as the achieved one from the one asked for, is not.

    Returns:
        Both for the uplink, and both for the downlink; each of the shape of `payload_bytes`, and 0 on a plain link.

    Raises:
        SpecError: what cannot be predicted: bursty loss, reordering, duplicates, correlated jitter; jitter that
            RACK takes for loss; loss at which the window no longer fills the pipe, or comes several times a request.
    """
    sizes = np.asarray(payload_bytes, dtype=np.float64)
    found: list[tuple[Array, Array]] = []
    ways: list[tuple[str, Impairments, Any, float, float]] = [
        ("up", link.impairments_up, sizes, link.rate_up_mbps, link.delay_up_ms),
        ("down", link.impairments_down, np.full(sizes.shape, response_bytes), link.rate_down_mbps, link.delay_down_ms),
    ]
    for way, impairments, carried, rate_mbps, delay_ms in ways:
        shift, variance = np.zeros(sizes.shape), np.zeros(sizes.shape)
        if impairments.none or not sizes.size:
            found.append((shift, variance))
            continue
        segments = np.maximum(1.0, np.ceil(carried / mss_bytes(link.mtu)))
        segment_ms = (mss_bytes(link.mtu) + HEADER_BYTES) * 8 / (rate_mbps * 1e3)
        loss = impairments.loss_rate + impairments.corrupt  # TCP's checksum drops what was corrupted
        if checked:
            _require_predictable(link, way, impairments, loss, segment_ms, float(segments.max()))
        for mean, deviation in (
            jitter_spread_ms(segments.ravel(), segment_ms, delay_ms, impairments),
            loss_spread_ms(segments.ravel(), segment_ms, link.rtt_ms, loss),
        ):
            shift += mean.reshape(sizes.shape)
            variance += deviation.reshape(sizes.shape) ** 2
        found.append((shift, np.sqrt(variance)))
    return found[0], found[1]


def _require_predictable(
    link: LinkSpec, way: str, impairments: Impairments, loss: float, segment_ms: float, segments: float
) -> None:
    """Raise SpecError for what `spread_ms` has no sound formula for."""
    for name in ("reorder", "duplicate", "jitter_correlation"):
        if getattr(impairments, name):
            raise SpecError(f"a link with {name} {way} cannot be predicted; allowed: jitter, random loss, corrupt")
    if isinstance(impairments.loss, GilbertElliott):
        raise SpecError(f"bursty (Gilbert-Elliott) loss {way} cannot be predicted; allowed: a single probability")
    if 2 * impairments.jitter_ms > REORDERING_WINDOW * link.rtt_ms:
        raise SpecError(
            f"jitter of {impairments.jitter_ms:g} ms {way} on a round trip of {link.rtt_ms:g} ms cannot be predicted: "
            f"TCP takes late segments for lost ones; allowed: up to {REORDERING_WINDOW * link.rtt_ms / 2:g} ms"
        )
    most = largest_loss(segments, segment_ms, link.rtt_ms)
    if link.tcp.congestion_control != "bbr" and loss > most:
        raise SpecError(
            f"loss of {loss:g} {way} cannot be predicted: {link.tcp.congestion_control} no longer fills the link "
            f"(sqrt(1.5 / p) segments a round trip, Mathis et al. 1997); allowed: up to {most:.2g}, or bbr"
        )
    if loss * segments > MOST_LOSSES:
        raise SpecError(
            f"loss of {loss:g} {way} cannot be predicted: {loss * segments:.2g} losses in a request of {segments:.0f} "
            f"segments; allowed: up to {MOST_LOSSES:g} a request"
        )


def _stays_warm(link: Link, state: State) -> bool:
    """Whether an idle connection keeps its window. Raises SpecError for a congestion control without a model."""
    control = link.tcp.congestion_control
    if control not in _PREDICTABLE:
        raise SpecError(
            f"a connection that is {state} cannot be predicted with link.tcp.congestion_control={control}; "
            f"allowed: {', '.join(_PREDICTABLE)}"
        )
    # tcp_slow_start_after_idle_check() leaves out controls that set their own pace (cong_control), as BBR does.
    return state == "idle" and (not link.tcp.slow_start_after_idle or control == "bbr")


def _segments(link: Link, sizes: Array, state: State) -> Array:
    segments: Array = np.ceil((sizes + FRAMING_BYTES[state]) / mss_bytes(link.mtu))
    return segments


def _segment_ms(link: Link) -> Any:
    return (mss_bytes(link.mtu) + HEADER_BYTES) * 8 / (np.asarray(link.rate_up_mbps) * 1e3)


def _paced_ms(segments: Array, segment_ms: Any, rtt_ms: Any, window: int) -> Array:
    """What BBR's first rounds take longer than a full pipe; one simulation for each link of a grid."""
    count, segment, rtt = np.broadcast_arrays(segments, segment_ms, rtt_ms)
    extra = np.empty(count.shape)
    for own_segment, own_rtt in np.unique(np.stack([segment.ravel(), rtt.ravel()]), axis=1).T.tolist():
        arrivals = np.array(startup_arrivals_ms(own_segment, own_rtt, window, CONNECT_ROUND_TRIPS))
        here = (segment == own_segment) & (rtt == own_rtt)
        last = count[here] - 1
        # Beyond the arrivals that are known the pipe is full: the head start is kept.
        known = np.minimum(last, len(arrivals) - 1).astype(np.intp)
        extra[here] = arrivals[known] - known * own_segment
    return extra
