"""How far a link strays from its mean: what a prediction must widen by, or refuse (pure)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netem.impairments import GilbertElliott, Impairments


@dataclass(frozen=True, eq=False)
class TracePoints:
    """The uplink of a trace, step by step, one value a step on the axis ``step``.

    Attributes:
        dt_s: how long each is in force; the weights of every mean and quantile.
        rate_mbps: uplink rate.
        delay_ms: one-way delay of the uplink.
        loss: share of packets lost.
    """

    dt_s: NDArray[np.float64]
    rate_mbps: NDArray[np.float64]
    delay_ms: NDArray[np.float64]
    loss: NDArray[np.float64]

    def quantiles(self, values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Time-weighted quantiles: the least value that holds at least for that share of the time.

        Args:
            values: one a step, axis ``step`` last; such as ``rate_mbps``, or a prediction at each step [..., step].
            shares: of the time, 0 to 1 [share].

        Returns:
            [..., share]
        """
        order = np.argsort(values, axis=-1, kind="stable")
        weights = np.cumsum(self.dt_s[order], axis=-1)
        reached = weights / weights[..., -1:]
        # As many steps lie wholly below the share as have a cumulated weight below it.
        index = (reached[..., None, :] < np.asarray(shares)[:, None] - 1e-12).sum(axis=-1)
        index = np.minimum(index, values.shape[-1] - 1)
        return np.take_along_axis(np.take_along_axis(values, order, axis=-1), index, axis=-1)


@dataclass(frozen=True)
class LinkVariability:
    """What of a link is random or changes, beside its mean.

    Attributes:
        jitter_ms: spread of one packet's delay (standard deviation, or half-width where ``uniform``), the larger of
            both ways.
        loss: share of packets lost in the long run, the larger of both ways.
        bursty: whether losses come in bursts (Gilbert-Elliott).
        disordered: whether packets are reordered, duplicated or corrupted.
        trace: the steps of a trace, None where the mean does not change.
    """

    jitter_ms: float = 0.0
    loss: float = 0.0
    bursty: bool = False
    disordered: bool = False
    trace: TracePoints | None = None

    @classmethod
    def of(cls, up: Impairments, down: Impairments, trace: TracePoints | None = None) -> "LinkVariability":
        """The variability of a link with these impairments and, if it has one, this trace."""
        both = (up, down)
        losses = [way.loss_rate for way in both] + ([float(trace.loss.max())] if trace is not None else [])
        return cls(
            jitter_ms=max(way.jitter_ms for way in both),
            loss=max(losses),
            bursty=any(isinstance(way.loss, GilbertElliott) for way in both),
            disordered=any(way.reorder or way.duplicate or way.corrupt for way in both),
            trace=trace,
        )

    @property
    def none(self) -> bool:
        """Whether every packet meets the same link."""
        return self == LinkVariability()
