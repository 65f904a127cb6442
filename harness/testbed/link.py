"""The link of a cell as `netem` takes it."""

from __future__ import annotations

from harness.errors import SpecError
from harness.spec import Spec
from netem.errors import LinkSpecError
from netem.link import LinkSpec, TcpPolicy


def link_spec(spec: Spec) -> LinkSpec:
    """Rates and delays of a cell; the round trip is halved each way. Raises SpecError for an impossible link."""
    tcp = TcpPolicy(spec.link.tcp.congestion_control, slow_start_after_idle=spec.link.tcp.slow_start_after_idle)
    try:
        return LinkSpec(
            rate_up_mbps=spec.bandwidth,
            rate_down_mbps=spec.link.downlink,
            delay_up_ms=spec.latency / 2,
            delay_down_ms=spec.latency / 2,
            queue_bytes=spec.link.queue_bytes,
            burst_bytes=spec.link.burst_bytes,
            mtu=spec.link.mtu,
            tcp=tcp,
        )
    except LinkSpecError as error:
        raise SpecError(f"link: {error}") from error
