"""What a link does to packets besides delaying them and limiting their rate: immutable, checked when made."""

import math
from dataclasses import dataclass

from netem.distributions import DISTRIBUTIONS, Distribution
from netem.errors import LinkSpecError


@dataclass(frozen=True)
class GilbertElliott:
    """Bursty loss: a two-state Markov chain that steps once a packet (Gilbert 1960, Elliott 1963).

    Attributes:
        to_bad: probability of going from the good to the bad state, the model's p.
        to_good: probability of going back, r; a burst lasts 1/r packets on average.
        loss_bad: probability of a loss in the bad state, 1 - h.
        loss_good: probability of a loss in the good state, 1 - k.

    Raises:
        LinkSpecError: a value is no probability, or the chain could never leave the bad state.
    """

    to_bad: float
    to_good: float
    loss_bad: float = 1.0
    loss_good: float = 0.0

    def __post_init__(self) -> None:
        """Check every range (see the class)."""
        for name in ("to_bad", "to_good", "loss_bad", "loss_good"):
            check_fraction(name, getattr(self, name))
        if self.to_good == 0:
            raise LinkSpecError("to_good is 0: the chain would stay in the bad state; allowed is more than 0, up to 1")

    @property
    def loss(self) -> float:
        """Share of packets lost in the long run: (p (1 - h) + r (1 - k)) / (p + r)."""
        return (self.to_bad * self.loss_bad + self.to_good * self.loss_good) / (self.to_bad + self.to_good)


@dataclass(frozen=True)
class Impairments:
    """What one direction does to packets. All but the jitter are fractions of packets, 0 to 1.

    Attributes:
        jitter_ms: how far a packet's delay strays: standard deviation (normal, pareto) or half-width
            (uniform). As with ``sch_netem``, packets whose delays cross arrive out of order.
        jitter_distribution: ``normal``, ``pareto`` (shape 3, cut at four deviations) or ``uniform``.
        jitter_correlation: weight of the packet before in the next one's jitter, 0 to 1; the kernel's
            formula, which narrows the distribution as it grows.
        loss: a probability, independent for each packet, or a ``GilbertElliott``.
        reorder: share sent ahead without the delay.
        duplicate: share sent twice.
        corrupt: share with one bit turned over.

    Raises:
        LinkSpecError: a value is out of range.
    """

    jitter_ms: float = 0.0
    jitter_distribution: Distribution = "normal"
    jitter_correlation: float = 0.0
    loss: float | GilbertElliott = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        """Check every range (see the class)."""
        jitter = self.jitter_ms
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter <= 10_000:
            raise LinkSpecError(f"jitter_ms is {jitter!r}: allowed is a number from 0 to 10000")
        if self.jitter_distribution not in DISTRIBUTIONS:
            raise LinkSpecError(
                f"jitter_distribution is {self.jitter_distribution!r}: allowed are {', '.join(DISTRIBUTIONS)}"
            )
        for name in ("jitter_correlation", "reorder", "duplicate", "corrupt"):
            check_fraction(name, getattr(self, name))
        if not isinstance(self.loss, GilbertElliott):
            check_fraction("loss", self.loss)

    @property
    def loss_rate(self) -> float:
        """Share of packets lost in the long run, whichever the model."""
        return self.loss.loss if isinstance(self.loss, GilbertElliott) else self.loss

    @property
    def none(self) -> bool:
        """Whether packets pass untouched and in order."""
        return self.jitter_ms == self.loss_rate == self.reorder == self.duplicate == self.corrupt == 0


def check_fraction(name: str, value: float) -> None:
    """Raise LinkSpecError unless the value is a number from 0 to 1."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= 1:
        raise LinkSpecError(f"{name} is {value!r}: allowed is a fraction from 0 to 1, such as 0.01 for 1 %")


UNIMPAIRED = Impairments()
