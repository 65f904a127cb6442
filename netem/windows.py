"""Windows of a TCP connection on Linux between transfers: what one leaves, and what a silence makes of it. Pure.

Everything here is in segments and milliseconds and broadcasts; sources are Linux 6.x (net/ipv4).
"""

from typing import TYPE_CHECKING, Any, Literal

from netem.theory import INITIAL_WINDOW_SEGMENTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = float | NDArray[np.float64]

WindowGrowth = Literal["cubic", "reno"]
"""Congestion controls whose window follows the rules below; BBR has its own (`netem.bbr`)."""

LEAST_RTO_VARIATION_MS = 200.0
"""TCP_RTO_MIN: tcp_rtt_estimator() keeps the variation that tcp_set_rto() adds to the smoothed RTT above it."""

SEGMENTS_PER_INCREMENT = 20
"""bictcp_update(): before any loss, cubic's window grows by one segment for every 20 acknowledged."""

_REPETITIONS = 4
"""A silence divides the window by 2 to the number of timeouts in it, so its past is soon forgotten."""


def retransmission_timeout_ms(rtt_ms: Any) -> Any:
    """RTO of a connection whose RTT hardly varies: srtt + 200 ms (RFC 6298 with Linux' floor, tcp_set_rto()).

    Args:
        rtt_ms: smoothed RTT; its weight of 1/8 a sample lets it follow the last flight of a bulk transfer, so
            waiting in the bottleneck's queue counts.
    """
    return rtt_ms + LEAST_RTO_VARIATION_MS


def window_after_silence(
    window_segments: Any,
    silence_ms: Any,
    rto_ms: Any,
    *,
    initial_window_segments: float = INITIAL_WINDOW_SEGMENTS,
) -> "NDArray[np.float64]":
    """Congestion window after a silence with ``tcp_slow_start_after_idle=1``.

    tcp_slow_start_after_idle_check() does nothing up to one RTO; tcp_cwnd_restart() then halves the window once
    for every RTO of silence that leaves a remainder, rounding down, and stops at the initial window (RFC 2861).
    The slow-start threshold keeps 3/4 of the window, so what follows is slow start.

    Args:
        window_segments: before the silence.
        silence_ms: since the last segment was handed to the interface, none being under way.
        rto_ms: retransmission timeout in force.
        initial_window_segments: RFC 6928's ten, unless the route says otherwise.
    """
    import numpy as np

    window = np.asarray(window_segments, dtype=np.float64)
    halvings = np.minimum(np.maximum(np.ceil(np.asarray(silence_ms, dtype=np.float64) / rto_ms) - 1, 0), 60)
    restart = np.minimum(initial_window_segments, window)
    halved = np.maximum(np.floor(np.ldexp(window, -halvings.astype(np.int32))), restart)
    return np.where(halvings > 0, halved, window)


def slow_start_threshold(
    segment_ms: Any,
    rtt_ms: Any,
    growth: WindowGrowth,
    *,
    carried_segments: float = 0.0,
    initial_window_segments: float = INITIAL_WINDOW_SEGMENTS,
) -> "NDArray[np.float64]":
    """Where slow start ends on a connection that has carried something and lost nothing, in segments.

    Reno's never ends. Cubic leaves it by HyStart (hystart_update(), once in a connection): in the first round
    whose acknowledgements come for more than half the least RTT, when that half has passed. From then on the
    window grows by one segment for every 20, and each restart after a silence keeps 3/4 of it as the threshold
    (tcp_current_ssthresh()).

    Args:
        segment_ms: time of one full segment at the link's rate.
        rtt_ms: RTT of an empty path.
        growth: the congestion control.
        carried_segments: what the connection had carried before its first silence, in transfers that filled it.
        initial_window_segments: with which the connection began.
    """
    import numpy as np

    half_rtt = np.maximum(1.0, np.asarray(rtt_ms) / (2 * np.asarray(segment_ms)))
    if growth == "reno":
        return np.full(half_rtt.shape, np.inf)
    doublings = np.maximum(0.0, np.floor(np.log2(half_rtt / initial_window_segments)) + 1)
    left_at = initial_window_segments * 2.0**doublings + half_rtt
    grown = left_at + np.maximum(0.0, carried_segments - left_at) / SEGMENTS_PER_INCREMENT
    threshold: NDArray[np.float64] = np.maximum(left_at, 0.75 * grown)
    return threshold


def window_after_transfer(window_segments: Any, segments: Any, threshold_segments: Any) -> "NDArray[np.float64]":
    """Congestion window that a transfer leaves, nothing having been lost.

    Slow start adds a segment for each one acknowledged as long as less than twice what was in flight is allowed
    (tcp_is_cwnd_limited()); past the threshold cubic adds one for every 20.

    Args:
        window_segments: with which the transfer began.
        segments: of the transfer.
        threshold_segments: where slow start ends; inf for never.
    """
    import numpy as np

    window, sent = np.asarray(window_segments, dtype=np.float64), np.asarray(segments, dtype=np.float64)
    slow_start = np.maximum(window, np.minimum(window + sent, 2 * sent))
    past = np.maximum(0.0, slow_start - np.maximum(window, threshold_segments))
    left: NDArray[np.float64] = slow_start - past * (1 - 1 / SEGMENTS_PER_INCREMENT)
    return left


def restart_window(
    segments: Any,
    silence_ms: Any,
    segment_ms: Any,
    rtt_ms: Any,
    threshold_segments: Any,
    *,
    initial_window_segments: float = INITIAL_WINDOW_SEGMENTS,
) -> "NDArray[np.float64]":
    """Window with which a transfer begins that is repeated after the same silence again and again.

    Args:
        segments: of the transfer.
        silence_ms: from the last byte at the receiver to the next transfer's first byte at the sender.
        segment_ms: time of one full segment at the link's rate.
        rtt_ms: RTT of an empty path.
        threshold_segments: see ``slow_start_threshold``.
        initial_window_segments: below which no silence brings it.
    """
    import numpy as np

    sent, segment, rtt = (np.asarray(value, dtype=np.float64) for value in (segments, segment_ms, rtt_ms))
    window = np.asarray(float(initial_window_segments))
    for _ in range(_REPETITIONS):
        left = window_after_transfer(window, sent, threshold_segments)
        # Slow start sends two segments for each one acknowledged, so that the window is (sent + window) / 2 when the
        # last one leaves; it waits behind those in flight before it.
        last_rtt = np.maximum(rtt + segment, np.minimum(np.minimum(left, sent), (sent + window) / 2) * segment)
        silence = np.asarray(silence_ms) + last_rtt - rtt / 2
        window = window_after_silence(
            left, silence, retransmission_timeout_ms(last_rtt), initial_window_segments=initial_window_segments
        )
    return window
