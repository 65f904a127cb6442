"""BBR at the start of a connection: when each segment of an endless transfer arrives. Pure, standard library.

BBR (version 1, net/ipv4/tcp_bbr.c) paces what it sends by its estimate of the bottleneck's bandwidth, so its first
rounds last longer than cubic's, and there is no closed formula. This follows it segment by segment: what
tcp_rate.c samples, the pacing gain of STARTUP, the window that grows by what is acknowledged.
"""

from functools import lru_cache

STARTUP_GAIN = 2.885
"""2 / ln 2 (bbr_high_gain): the least gain that lets the sending rate double each round."""

UNPACED_SEGMENTS = 10
"""tcp_update_skb_after_send(): the first ten segments of a connection leave unpaced."""

PACING_MARGIN = 0.99
"""bbr_pacing_margin_percent: pace 1 % below the estimate."""

_EXTRA_ACKED_SEGMENTS = 3
"""bbr_quantization_budget(): room for three bursts of one segment each above the target window."""


@lru_cache(maxsize=4096)
def startup_arrivals_ms(segment_ms: float, rtt_ms: float, window: int, sent_before: int) -> tuple[float, ...]:
    """When the first segments of a transfer start into the bottleneck, in ms from the transfer's start.

    As many segments as it takes until the bottleneck has never run empty for a whole round; those after it
    follow at the link's rate.

    Args:
        segment_ms: time of one full segment at the bottleneck.
        rtt_ms: RTT of an empty path.
        window: congestion window at the start, in segments.
        sent_before: segments that the connection has sent before, unpaced ones among them.
    """
    base_ms = rtt_ms + segment_ms
    bandwidth = window / max(rtt_ms, segment_ms)  # bbr_init_pacing_rate_from_rtt(): over the handshake's RTT
    full_round = max(1, int(base_ms / segment_ms)) + 1
    arrivals: list[float] = []
    acks: list[tuple[float, int, float]] = []  # when it comes, delivered at sending, when that was
    now_ms = next_send_ms = free_ms = 0.0
    delivered, delivered_ms, acked, busy = 0, 0.0, 0, 0
    cwnd = float(window)
    estimated = 0.0
    while busy < full_round:
        number = len(arrivals)
        while acked < number and (acks[acked][0] <= max(now_ms, next_send_ms) or number - acked >= int(cwnd)):
            ack_ms, before, before_ms = acks[acked]
            acked += 1
            delivered += 1
            delivered_ms = now_ms = max(now_ms, ack_ms)
            interval_ms = max(ack_ms - before_ms, base_ms)
            estimated = max(estimated, (delivered - before) / interval_ms)
            bandwidth = max(bandwidth, estimated)  # until the pipe is known to be full, the pace only rises
            if cwnd < STARTUP_GAIN * estimated * rtt_ms + _EXTRA_ACKED_SEGMENTS or delivered < UNPACED_SEGMENTS:
                cwnd += 1
        now_ms = max(now_ms, next_send_ms)
        free_ms, busy = (max(free_ms, now_ms) + segment_ms, busy + 1 if free_ms >= now_ms else 0)
        arrivals.append(free_ms - segment_ms)
        acks.append((free_ms + rtt_ms, delivered, delivered_ms if delivered else now_ms))
        paced = number + sent_before >= UNPACED_SEGMENTS
        next_send_ms = now_ms + (1 / (PACING_MARGIN * STARTUP_GAIN * bandwidth) if paced else 0.0)
    return tuple(arrivals)
