"""What a link should give: goodput, bytes on the wire, transfer times. Pure; NumPy only if it is given in.

The formula is DESIGN.md's ("TCP."). With R the link's rate, h the header bytes and s = (MSS + h) 8 / R the
time of one full segment, n payload bytes take

    T = [RTT if the connection is new] + D
        + max(0, n + segments h - burst) 8 / R
        + sum_{k=0}^{K-2} max(0, RTT + s - w 2^k s),      K = ceil(log2(segments / w + 1))

where w is the first window in segments; on a warm connection the sum is 0. It counts from the first byte
handed to the socket to the last byte in the receiver's hands; a reply adds the way back.
"""

import math
from typing import TYPE_CHECKING, Literal, overload

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

BURST_BYTES = 15_000
INITIAL_WINDOW_SEGMENTS = 10
"""RFC 6928."""


def mss_bytes(mtu: int) -> int:
    """Payload of a full segment at this MTU, with TCP timestamps on."""
    return mtu - (HEADER_BYTES - 14)


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
def transfer_ms(
    payload_bytes: float,
    rate_mbps: float,
    delay_ms: float,
    rtt_ms: float,
    *,
    state: ConnectionState = ...,
    burst_bytes: int = ...,
    mss: int = ...,
    header_bytes: int = ...,
    window_segments: int = ...,
) -> float: ...


@overload
def transfer_ms(
    payload_bytes: "FloatArray",
    rate_mbps: float,
    delay_ms: float,
    rtt_ms: float,
    *,
    state: ConnectionState = ...,
    burst_bytes: int = ...,
    mss: int = ...,
    header_bytes: int = ...,
    window_segments: int = ...,
) -> "FloatArray": ...


def transfer_ms(
    payload_bytes: "float | FloatArray",
    rate_mbps: float,
    delay_ms: float,
    rtt_ms: float,
    *,
    state: ConnectionState = "warm",
    burst_bytes: int = BURST_BYTES,
    mss: int = MSS_BYTES,
    header_bytes: int = HEADER_BYTES,
    window_segments: int = INITIAL_WINDOW_SEGMENTS,
) -> "float | FloatArray":
    """One-way transfer time of a payload in milliseconds (the formula at the top of this module).

    Args:
        payload_bytes: n; a number, or a NumPy array of any shape (the result then has that shape).
        rate_mbps: R, the link's rate, counting Ethernet frames.
        delay_ms: D, the one-way delay of this direction.
        rtt_ms: RTT, both directions together.
        state: of the connection; see ``ConnectionState``.
        burst_bytes: the tbf bucket, full when the transfer begins.
        mss: payload of a full segment.
        header_bytes: per segment, Ethernet's included.
        window_segments: w, the first window.
    """

    def one(n: float) -> float:
        segments = math.ceil(n / mss)
        per_byte_ms = 8 / (rate_mbps * 1e3)
        time_ms: float = delay_ms + max(0.0, n + segments * header_bytes - burst_bytes) * per_byte_ms
        if state == "warm":
            return time_ms
        segment_ms = (mss + header_bytes) * per_byte_ms
        return time_ms + _stalls_ms(segments, segment_ms, rtt_ms, window_segments) + (rtt_ms if state == "new" else 0.0)

    if isinstance(payload_bytes, int | float):
        return one(payload_bytes)
    import numpy as np

    sizes = np.asarray(payload_bytes, dtype=np.float64)
    return np.array([one(float(n)) for n in sizes.flat], dtype=np.float64).reshape(sizes.shape)


def _stalls_ms(segments: int, segment_ms: float, rtt_ms: float, window_segments: int) -> float:
    """How long slow start waits for acknowledgements: the sum in the formula."""
    rounds = math.ceil(math.log2(segments / window_segments + 1))
    return sum(max(0.0, rtt_ms + segment_ms - window_segments * 2.0**k * segment_ms) for k in range(rounds - 1))
