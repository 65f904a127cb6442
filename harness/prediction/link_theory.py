"""What the link itself costs a request, before gRPC and the server add theirs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netem.link import LinkSpec
from netem.theory import mss_bytes, transfer_ms


def uplink_ms(link: LinkSpec, payload_bytes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Warm one-way time of payloads from device to edge, ms; same shape as `payload_bytes`."""
    return transfer_ms(
        payload_bytes,
        link.rate_up_mbps,
        link.delay_up_ms,
        link.rtt_ms,
        burst_bytes=link.burst_bytes,
        mss=mss_bytes(link.mtu),
    )


def downlink_ms(link: LinkSpec, payload_bytes: float) -> float:
    """Warm one-way time of a response from edge to device, ms."""
    return transfer_ms(
        payload_bytes,
        link.rate_down_mbps,
        link.delay_down_ms,
        link.rtt_ms,
        burst_bytes=link.burst_bytes,
        mss=mss_bytes(link.mtu),
    )


def request_ms(link: LinkSpec, payload_bytes: float, response_bytes: float) -> float:
    """Both ways together: what `network_measured_ms` is held against, without any fitted constant."""
    return float(uplink_ms(link, np.array([payload_bytes]))[0]) + downlink_ms(link, response_bytes)
