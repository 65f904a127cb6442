"""What every predictor is: evidence in, a fitted model out, and from that a table of predictions.

Predictions are arrays over candidates and over a grid of links, so that a million of them take no longer than a
few. A new predictor is a subclass of `Predictor` in this package and a YAML file in conf/predictor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from harness.errors import SpecError
from harness.prediction.link_theory import Array, Link
from harness.prediction.profile import Calibration, ModelFeatures, Profiles, TierProfile
from harness.results.schema import TERMS, Key, Row
from harness.transfer.registry import Registry

__all__ = [
    "REGISTRY",
    "Array",
    "Connection",
    "Evidence",
    "Link",
    "Model",
    "Prediction",
    "Predictor",
    "Table",
    "column",
    "grid_of",
    "possible",
    "table",
]

#: What a request finds: an open connection, none, or an open one that has been silent.
Connection = Literal["warm", "new", "idle"]

REGISTRY: Registry[Predictor] = Registry("predictor")


@dataclass(frozen=True)
class Evidence:
    """What a predictor is fitted on.

    profiles: of both tiers, with the calibration that came with them.
    calibration: a fresher one (anchors interleaved with the measured requests); None: the profiles' own.
    drift_error: by how much the host's speed may have changed since then, relative, with 95 % confidence.
    features: what the model's layers are; None where nobody looked.
    others: profiles of other models on the same pair of tiers.
    """

    profiles: Profiles | None
    calibration: Calibration | None = None
    drift_error: float = 0.0
    features: ModelFeatures | None = None
    others: Sequence[Profiles] = ()

    @property
    def model(self) -> TierProfile | ModelFeatures:
        """Whatever knows the model's cuts. Raises SpecError where nothing does."""
        if self.profiles is not None:
            return self.profiles.device
        if self.features is not None:
            return self.features
        raise SpecError("neither a profile of the model nor its features are at hand; make them with mode=profile")

    def profiled(self) -> Profiles:
        """The profiles. Raises SpecError where the model has none."""
        if self.profiles is None:
            raise SpecError("this predictor needs a profile of the model; make one with mode=profile")
        return self.profiles


@dataclass(frozen=True)
class Prediction:
    """What one candidate is predicted to cost on one link. Times in ms.

    low_ms, high_ms: the measured median is to lie between them, 95 % of the time.
    p95_ms: of a single request.
    """

    terms: dict[str, float]
    total_ms: float
    low_ms: float
    high_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Table:
    """Predictions of many candidates. Every array is [candidate, *grid] in ms; the grid of one link is ().

    terms: by term of `TERMS`; NaN where a candidate has no such term.
    """

    keys: tuple[Key, ...]
    terms: Mapping[str, Array]
    total_ms: Array
    low_ms: Array
    high_ms: Array
    p95_ms: Array

    def predictions(self) -> dict[Key, Prediction]:
        """By candidate, where the table is of one link. Raises ValueError for a grid of several."""
        if self.total_ms.ndim != 1:
            raise ValueError(f"a table over a grid of shape {self.total_ms.shape[1:]}; allowed: of a single link")
        columns = {term: values.tolist() for term, values in self.terms.items()}
        ends = zip(
            self.total_ms.tolist(), self.low_ms.tolist(), self.high_ms.tolist(), self.p95_ms.tolist(), strict=True
        )
        return {
            key: Prediction(
                {term: column[place] for term, column in columns.items() if column[place] == column[place]}, *own
            )
            for place, (key, own) in enumerate(zip(self.keys, ends, strict=True))
        }


class Model(ABC):
    """A fitted predictor."""

    @property
    def response_bytes(self) -> float:
        """Of an answer; 0 where the model knows of none, as Eq. 4 does."""
        return 0.0

    @abstractmethod
    def predict(
        self,
        link: Link,
        rows: Sequence[Row],
        *,
        slowdown: float | Array = 1.0,
        connection: Connection = "warm",
        silence_ms: float = 0.0,
    ) -> Table:
        """Every row that is possible at all (a payload, or none needed).

        Args:
            link: one link, or a grid of them (arrays that broadcast against each other).
            slowdown: pace of the device; a number, or an array that broadcasts against the link's.
            connection: that a request finds; see `harness.prediction.circumstances`.
            silence_ms: of an open connection, beside a candidate's own between two of its transfers.
        """


class Predictor(ABC):
    """A way to predict. Subclasses register themselves under their `name`."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        REGISTRY.register(cls.name, cls)

    @abstractmethod
    def fit(self, evidence: Evidence) -> Model:
        """Learn what can be learnt. Raises SpecError where the evidence lacks what this predictor needs."""


def possible(rows: Sequence[Row]) -> list[Row]:
    """The rows that can be predicted: something is sent and its size is known, or nothing is."""
    return [row for row in rows if row.key.candidate == "device-only" or row.payload_bytes is not None]


def column(values: Sequence[float] | Array, grid: tuple[int, ...]) -> Array:
    """One value a candidate as [candidate, 1, ...], to broadcast against a grid."""
    return np.asarray(values, dtype=np.float64).reshape(-1, *(1 for _ in grid))


def grid_of(link: Link, slowdown: float | Array) -> tuple[int, ...]:
    """Shape of the grid that a link and a pace span."""
    parts: list[Any] = [link.rate_up_mbps, link.rate_down_mbps, link.delay_up_ms, link.delay_down_ms, slowdown]
    return np.broadcast_shapes(*(np.shape(part) for part in parts))


def table(
    rows: Sequence[Row],
    terms: Mapping[str, Array],
    grid: tuple[int, ...],
    *,
    other_ms: Array,
    error_ms: Array,
    tail_ms: Array,
) -> Table:
    """Put a table together: totals are the sum of the terms and `other_ms`.

    Args:
        other_ms: what lies between the terms.
        error_ms: half the width of the 95 % interval of the median.
        tail_ms: what a request at its 95th percentile takes longer.
    """
    shape = (len(rows), *grid)
    whole = {term: np.broadcast_to(terms[term], shape) for term in TERMS if term in terms}
    total = np.array(np.broadcast_to(other_ms, shape))
    for values in whole.values():
        total += np.nan_to_num(values)
    return Table(
        keys=tuple(row.key for row in rows),
        terms=whole,
        total_ms=total,
        low_ms=np.maximum(0.0, total - error_ms),
        high_ms=total + error_ms,
        p95_ms=total + tail_ms,
    )
