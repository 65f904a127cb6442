"""What a link should give: goodput, bytes on the wire, transfer times. Pure; NumPy only if arrays are given in.

The formula is DESIGN.md's ("TCP."). With R the link's rate, h the header bytes and s = (MSS + h) 8 / R the
time of one full segment, n payload bytes take

    T = [c RTT if the connection is new] + D
        + max(0, n + segments h - burst) 8 / R
        + sum_{k=0}^{K-2} max(0, RTT + s - w 2^k s),      K = ceil(log2(segments / w + 1))

where w is the first window in segments and c the round trips before the first byte (1 for TCP alone); on a warm
connection the sum is 0. It counts from the first byte handed to the socket to the last byte in the receiver's
hands; a reply adds the way back. What w is after a silence: `netem.windows`.
"""

import math
from typing import TYPE_CHECKING, Any, Literal, overload

from netem.link import DEFAULT_BURST_BYTES, ETHERNET_HEADER_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

ConnectionState = Literal["warm", "cold", "new"]
"""``warm``: the window is open. ``cold``: connected, first window. ``new``: the handshake comes first."""

MSS_BYTES = 1448
"""MTU 1500 less 20 (IPv4), 20 (TCP) and 12 (timestamps, RFC 7323)."""

HEADER_BYTES = 66
"""The same 52 plus 14 of Ethernet: what tbf counts beside the payload."""

INITIAL_WINDOW_SEGMENTS = 10
"""RFC 6928."""


def mss_bytes(mtu: int) -> int:
    """Payload of a full segment at this MTU, with TCP timestamps on."""
    return mtu - (HEADER_BYTES - ETHERNET_HEADER_BYTES)


def goodput_mbps(rate_mbps: float, *, mss: int = MSS_BYTES, header_bytes: int = HEADER_BYTES) -> float:
    """Payload rate of a full pipe: rate x MSS / (MSS + headers), Mbit/s."""
    return rate_mbps * mss / (mss + header_bytes)


def link_rate_mbps(goodput: float, *, mss: int = MSS_BYTES, header_bytes: int = HEADER_BYTES) -> float:
    """The inverse of ``goodput_mbps``: the link's rate behind a goodput, both Mbit/s."""
    return goodput * (mss + header_bytes) / mss


def wire_bytes(payload_bytes: float, *, mss: int = MSS_BYTES, header_bytes: int = HEADER_BYTES) -> float:
    """Bytes that tbf counts for a payload sent in full segments."""
    return payload_bytes + math.ceil(payload_bytes / mss) * header_bytes


@overload
def transfer_ms(  # type: ignore[overload-overlap]  # only where no argument is an array does the first one match
    payload_bytes: float,
    rate_mbps: float,
    delay_ms: float,
    rtt_ms: float,
    *,
    state: ConnectionState = ...,
    burst_bytes: float = ...,
    mss: int = ...,
    header_bytes: int = ...,
    window_segments: float = ...,
    round_trips: float = ...,
) -> float: ...


@overload
def transfer_ms(
    payload_bytes: "float | FloatArray",
    rate_mbps: "float | FloatArray",
    delay_ms: "float | FloatArray",
    rtt_ms: "float | FloatArray",
    *,
    state: ConnectionState = ...,
    burst_bytes: "float | FloatArray" = ...,
    mss: int = ...,
    header_bytes: int = ...,
    window_segments: "float | FloatArray" = ...,
    round_trips: float = ...,
) -> "FloatArray": ...


def transfer_ms(
    payload_bytes: Any,
    rate_mbps: Any,
    delay_ms: Any,
    rtt_ms: Any,
    *,
    state: ConnectionState = "warm",
    burst_bytes: Any = DEFAULT_BURST_BYTES,
    mss: int = MSS_BYTES,
    header_bytes: int = HEADER_BYTES,
    window_segments: Any = INITIAL_WINDOW_SEGMENTS,
    round_trips: float = 1.0,
) -> Any:
    """One-way transfer time of a payload in milliseconds (the formula at the top of this module).

    Numbers give a float; as soon as one argument is a NumPy array, all broadcast against each other and the
    result is an array of the shape they span.

    Args:
        payload_bytes: n.
        rate_mbps: R, the link's rate, counting Ethernet frames.
        delay_ms: D, the one-way delay of this direction.
        rtt_ms: RTT, both directions together.
        state: of the connection; see ``ConnectionState``.
        burst_bytes: the tbf bucket, full when the transfer begins.
        mss: payload of a full segment.
        header_bytes: per segment, Ethernet's included.
        window_segments: w, the first window.
        round_trips: c, which a new connection takes before its first byte.
    """
    given = (payload_bytes, rate_mbps, delay_ms, rtt_ms, burst_bytes, window_segments)
    if all(isinstance(value, int | float) for value in given):
        segments = math.ceil(payload_bytes / mss)
        on_wire: Any = max(0.0, payload_bytes + segments * header_bytes - burst_bytes)
    else:
        import numpy as np

        payload_bytes, rate_mbps, delay_ms, rtt_ms, burst_bytes, window_segments = (
            np.asarray(value, dtype=np.float64) for value in given
        )
        segments = np.ceil(payload_bytes / mss)
        on_wire = np.maximum(0.0, payload_bytes + segments * header_bytes - burst_bytes)
    per_byte_ms = 8 / (rate_mbps * 1e3)
    time_ms = delay_ms + on_wire * per_byte_ms
    if state != "warm":
        time_ms = time_ms + stalls_ms(segments, (mss + header_bytes) * per_byte_ms, rtt_ms, window_segments)
    if state == "new":
        time_ms = time_ms + round_trips * rtt_ms
    return time_ms


@overload
def stalls_ms(  # type: ignore[overload-overlap]  # as above
    segments: float, segment_ms: float, rtt_ms: float, window_segments: float
) -> float: ...


@overload
def stalls_ms(
    segments: "float | FloatArray",
    segment_ms: "float | FloatArray",
    rtt_ms: "float | FloatArray",
    window_segments: "float | FloatArray",
) -> "FloatArray": ...


def stalls_ms(segments: Any, segment_ms: Any, rtt_ms: Any, window_segments: Any) -> Any:
    """How long slow start waits for acknowledgements: the sum in the formula, in milliseconds.

    Args:
        segments: of the transfer.
        segment_ms: s, the time of one full segment at the link's rate.
        rtt_ms: RTT.
        window_segments: w, the first window.
    """
    if all(isinstance(value, int | float) for value in (segments, segment_ms, rtt_ms, window_segments)):
        rounds = math.ceil(math.log2(segments / window_segments + 1))
        return sum(
            (max(0.0, rtt_ms + segment_ms - window_segments * 2.0**k * segment_ms) for k in range(rounds - 1)), 0.0
        )
    import numpy as np

    rounds = np.ceil(np.log2(np.asarray(segments) / window_segments + 1))
    # Stalls shrink as the window doubles: their number and their sum are those of the first `count` terms of
    # a geometric series, so no loop over rounds is needed.
    with np.errstate(divide="ignore"):
        stalling = np.ceil(np.log2((np.asarray(rtt_ms) + segment_ms) / (np.asarray(window_segments) * segment_ms)))
    count = np.maximum(0.0, np.minimum(rounds - 1, stalling))
    return count * (np.asarray(rtt_ms) + segment_ms) - window_segments * np.asarray(segment_ms) * (2.0**count - 1)
