"""What jitter and random loss do to one transfer over a warm connection: the mean's shift, and the scatter. Pure.

A message is complete when its last byte can be read in order. With jitter that is when the latest of its segments
has come; with loss, when the last hole has been filled.
"""

from typing import TYPE_CHECKING, Any

from netem.distributions import SCALE, table
from netem.impairments import Impairments
from netem.windows import LEAST_RTO_VARIATION_MS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

DUPLICATE_ACKS = 3
"""A hole is taken for a loss once three later segments have been acknowledged (RFC 5681, 3.2)."""

PIPE_FACTOR = 1.5
"""Mathis et al. 1997: the mean window under random loss p is sqrt(1.5 / p) segments."""

_STEPS = 800
_PROBE_ROUND_TRIPS = 2
"""tcp_schedule_loss_probe(): a tail that is not acknowledged is probed after two smoothed RTTs."""


def jitter_spread_ms(
    segments: Any, segment_ms: float, delay_ms: float, impairments: Impairments
) -> "tuple[FloatArray, FloatArray]":
    """Shift of the mean and standard deviation of a message's completion, in ms.

    With independent jitters X and the k-th segment before the last sent k s earlier, the last byte can be read at
    max_k (X_k - k s) later than without: the distribution function of that is the product of theirs. No segment
    comes before it left: X >= -delay.

    Args:
        segments: of the message; a number or an array.
        segment_ms: s, the time between two segments.
        delay_ms: one-way delay that the jitter is put on.
        impairments: of this direction; its ``jitter_correlation`` has to be 0.
    """
    import numpy as np

    count = np.atleast_1d(np.asarray(segments, dtype=np.float64))
    if not impairments.jitter_ms:
        return np.zeros(count.shape), np.zeros(count.shape)
    values = np.sort(np.array(table(impairments.jitter_distribution))) * (impairments.jitter_ms / SCALE)
    values = np.maximum(values, -delay_ms)
    x = np.linspace(values[0], values[-1], _STEPS)
    relevant = int(min(count.max(), np.ceil((values[-1] - values[0]) / segment_ms) + 1))
    behind_ms = np.arange(relevant)[:, None] * segment_ms
    chances = np.searchsorted(values, x[None, :] + behind_ms, side="right") / len(values)
    latest = np.cumprod(chances, axis=0)  # [segments that matter - 1, x]
    step = x[1] - x[0]
    mean = x[-1] - latest[:, :-1].sum(axis=1) * step
    square = x[-1] ** 2 - 2 * (x[None, :-1] * latest[:, :-1]).sum(axis=1) * step
    deviation = np.sqrt(np.maximum(0.0, square - mean**2))
    place = np.minimum(count, relevant).astype(np.intp) - 1
    return mean[place], deviation[place]


def loss_spread_ms(segments: Any, segment_ms: float, rtt_ms: float, loss: float) -> "tuple[FloatArray, FloatArray]":
    """Shift of the mean and standard deviation by random loss that leaves the pipe full, to first order in it.

    The segment j before the last, when lost, is known to be missing three segments later and back one RTT after:
    the message is late by what of that outlasts the j segments, RTT + (3 - j) s. Of the last three none has three
    behind it: a probe goes out two RTTs after the last acknowledgement (tail loss probe, RFC 8985 7), and after
    one RTO where only the last segment is missing.

    Args:
        segments: of the message; a number or an array.
        segment_ms: s, the time of a full segment at the link's rate.
        rtt_ms: RTT of an empty path.
        loss: probability that a segment is lost.
    """
    import numpy as np

    count = np.atleast_1d(np.asarray(segments, dtype=np.float64))
    relevant = int(min(count.max(), np.ceil(rtt_ms / segment_ms) + DUPLICATE_ACKS + 1))
    late_ms = np.maximum(0.0, rtt_ms + (DUPLICATE_ACKS - np.arange(relevant)) * segment_ms)
    late_ms[:DUPLICATE_ACKS] = (1 + _PROBE_ROUND_TRIPS) * rtt_ms
    late_ms[0] = 2 * rtt_ms + LEAST_RTO_VARIATION_MS
    mean, square = np.cumsum(loss * late_ms), np.cumsum(loss * late_ms**2)
    place = np.minimum(count, relevant).astype(np.intp) - 1
    return mean[place], np.sqrt(np.maximum(0.0, square[place] - mean[place] ** 2))


def largest_loss(segments: float, segment_ms: float, rtt_ms: float) -> float:
    """The loss up to which a loss-based window holds a message, or fills the pipe: sqrt(1.5 / p) segments or more."""
    return PIPE_FACTOR / min(segments, rtt_ms / segment_ms + 1) ** 2
