"""The ranking of candidates: the feasible ones by the user's objective, then near misses with what they break (pure).

The objective is the latency (ms), the payload (bytes; 0 for device-only), or a weighted sum. In a sum each is taken
relative to the best among the feasible candidates (among all, where none is feasible), so that it has no unit:

    score = w_latency * latency / best latency + w_payload * payload / smallest payload above 0

Near misses are ranked by how far they are from being feasible, the sum of their breaches' shares, then by score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.prediction.constraints import Breach, latency_ms, upload_bytes
from harness.results.schema import Key, Row

#: Names are those of `harness.spec.constraints.OBJECTIVES`.
Objective = str | Mapping[Literal["latency", "payload"], float]


@dataclass(frozen=True)
class Place:
    """One candidate in a ranking. `score`: ms, bytes, or without a unit, as the objective has it; less is better."""

    rank: int
    key: Key
    latency_ms: float
    payload_bytes: int
    score: float
    breaches: tuple[Breach, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        record: dict[str, Any] = {
            "rank": self.rank,
            "candidate": str(self.key),
            "latency_ms": self.latency_ms,
            "payload_bytes": self.payload_bytes,
            "score": self.score,
        }
        return record | ({"breaks": [asdict(breach) for breach in self.breaches]} if self.breaches else {})


@dataclass(frozen=True)
class Ranking:
    """The best candidates, each list cut to its first `top`; the counts are of all of them."""

    objective: Objective
    feasible: tuple[Place, ...]
    near_misses: tuple[Place, ...]
    feasible_count: int
    near_miss_count: int

    @property
    def sentence(self) -> str:
        """What came out, in one sentence."""
        if self.feasible:
            best = self.feasible[0]
            return (
                f"{self.feasible_count} of {self.feasible_count + self.near_miss_count} candidates are feasible; the "
                f"best by {shown_objective(self.objective)} is {best.key} with {best.latency_ms:.1f} ms and "
                f"{best.payload_bytes} B."
            )
        if not self.near_misses:
            return "There is no candidate: nothing could be predicted."
        nearest = self.near_misses[0]
        why = "; ".join(breach.text for breach in nearest.breaches)
        return (
            f"No candidate is feasible: each of the {self.near_miss_count} breaks a constraint; the nearest is "
            f"{nearest.key} ({why})."
        )

    def as_dict(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        return {
            "objective": self.objective if isinstance(self.objective, str) else dict(self.objective),
            "sentence": self.sentence,
            "feasible_count": self.feasible_count,
            "near_miss_count": self.near_miss_count,
            "feasible": [place.as_dict() for place in self.feasible],
            "near_misses": [place.as_dict() for place in self.near_misses],
        }


def rank(
    rows: Sequence[Row], breaches: Sequence[tuple[Breach, ...]], *, objective: Objective = "latency", top: int = 10
) -> Ranking:
    """Rank every row that has a prediction.

    Args:
        breaches: of each row, from `harness.prediction.constraints.judge`.
        objective: `latency`, `payload`, or weights of both.
        top: how many of each kind are kept.
    """
    known = [
        (row, own, value) for row, own in zip(rows, breaches, strict=True) if (value := latency_ms(row)) is not None
    ]
    reference = [(value, upload_bytes(row)) for row, own, value in known if not own] or [
        (value, upload_bytes(row)) for row, _, value in known
    ]
    weights = _weights(objective, reference)
    places = []
    for row, own, value in known:
        size = upload_bytes(row)
        places.append(Place(0, row.key, value, size, weights[0] * value + weights[1] * size, own))
    feasible = sorted((place for place in places if not place.breaches), key=_order)
    missed = sorted((place for place in places if place.breaches), key=lambda place: (_distance(place), *_order(place)))
    return Ranking(objective, _first(feasible, top), _first(missed, top), len(feasible), len(missed))


def shown_objective(objective: Objective) -> str:
    """An objective in words."""
    if isinstance(objective, str):
        return objective
    return " + ".join(f"{weight:g} {name}" for name, weight in objective.items())


def _weights(objective: Objective, reference: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """What a ms of latency and a byte of payload count."""
    if isinstance(objective, str):
        return (1.0, 0.0) if objective == "latency" else (0.0, 1.0)
    best_ms = min((value for value, _ in reference if value > 0), default=1.0)
    best_bytes = min((size for _, size in reference if size > 0), default=1)
    return objective.get("latency", 0.0) / best_ms, objective.get("payload", 0.0) / best_bytes


def _order(place: Place) -> tuple[float, float, str]:
    return place.score, place.latency_ms, str(place.key)


def _distance(place: Place) -> float:
    return sum(breach.share for breach in place.breaches)


def _first(places: Sequence[Place], top: int) -> tuple[Place, ...]:
    return tuple(
        Place(number, place.key, place.latency_ms, place.payload_bytes, place.score, place.breaches)
        for number, place in enumerate(places[:top], 1)
    )
