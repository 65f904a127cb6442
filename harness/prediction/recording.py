"""What a replayed tier is told: by candidate, how long each of its terms takes, and what of it nobody recorded.

A recording may be the authors' (`recorded_replay`) or a profile of ours that another host exported; either way a
tier that waits so long instead of computing is that tier to everyone else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.prediction.profile import TierProfile
from harness.results.schema import DEVICE_TERMS, EDGE_TERMS, Key, Row

#: The terms of a request that each tier spends, in the order in which it spends them.
REPLAYED_TERMS = {"device": DEVICE_TERMS, "edge": EDGE_TERMS}


@dataclass(frozen=True)
class Estimate:
    """A part of some candidates' requests that nobody recorded.

    terms: of these candidates' requests.
    method: what stands in their place.
    """

    terms: tuple[str, ...]
    candidates: tuple[Key, ...]
    method: str

    def as_dict(self) -> dict[str, object]:
        """As `summary.json` has it."""
        return {"terms": list(self.terms), "candidates": list(map(str, self.candidates)), "method": self.method}


@dataclass(frozen=True)
class Recording:
    """One tier as it was recorded.

    tier           `device` or `edge`
    system         what it ran on, e.g. `tx2_gpu`
    last           Keras index of the model's last layer
    terms_ms       by candidate key, the tier's terms in ms, at the recording's own pace
    payload_bytes  by candidate key, the tensor on the wire; empty where the tensors' shapes are known
    cuts           recorded; a request at another cut cannot be replayed
    estimates      what of `terms_ms` nobody recorded
    source         file, its SHA-256 and the like, for `summary.json`
    classes        scores that the model answers with
    """

    tier: str
    system: str
    last: int
    terms_ms: dict[str, dict[str, float]]
    cuts: tuple[int, ...]
    payload_bytes: dict[str, int] = field(default_factory=dict)
    estimates: tuple[Estimate, ...] = ()
    source: dict[str, str] = field(default_factory=dict)
    classes: int = 1000

    def own_ms(self, key: Key, term: str) -> float | None:
        """What a term of a candidate takes; None where it has none, or it was not recorded."""
        return self.terms_ms.get(str(key), {}).get(term)

    def covers(self, key: Key) -> bool:
        """Whether a request of this candidate can be replayed; an edge has no part in device-only."""
        return str(key) in self.terms_ms or (self.tier == "edge" and key.candidate == "device-only")

    def work_ms(self) -> dict[int, float]:
        """Whole heads (tails) by the index of the last device layer; the whole model at the last layer (at 0)."""
        found = {}
        for text, terms in self.terms_ms.items():
            key = Key.parse(text)
            if self.tier in terms:
                found[key.split or (self.last if self.tier == "device" else 0)] = terms[self.tier]
        return found

    def estimated(self, key: Key) -> tuple[str, ...]:
        """The terms of a candidate that are estimates."""
        return tuple(term for each in self.estimates if key in each.candidates for term in each.terms)

    def plan(self, slowdown: float = 1.0) -> dict[str, Any]:
        """What the process that replays needs to know, as JSON takes it; times at the pace of this cell."""
        terms = {key: {term: slowdown * ms for term, ms in own.items()} for key, own in self.terms_ms.items()}
        return {
            "tier": self.tier,
            "system": self.system,
            "last": self.last,
            "terms_ms": terms,
            "payload_bytes": self.payload_bytes,
            "classes": self.classes,
        }


def rows_of(rows: Iterable[Row], recordings: Mapping[str, Recording]) -> list[Row]:
    """The candidates that every recording covers, with the recorded payloads and with what is replayed in them.

    A cut at which a transfer layer is impossible keeps its row, as anywhere.
    """
    kept = []
    for row in rows:
        split = row.key.split
        impossible = split is not None and row.payload_bytes is None
        if not all((impossible and split in own.cuts) or own.covers(row.key) for own in recordings.values()):
            continue
        for own in recordings.values():
            if str(row.key) in own.payload_bytes:
                row.payload_bytes = own.payload_bytes[str(row.key)]
        mark(row, recordings)
        kept.append(row)
    return kept


def mark(row: Row, recordings: Mapping[str, Recording]) -> None:
    """Note on a row which of its terms are replayed, and which of these are estimates."""
    for own in recordings.values():
        row.replayed += tuple(own.terms_ms.get(str(row.key), {}))
        row.estimated += own.estimated(row.key)


def restricted(profile: TierProfile, cuts: Sequence[int]) -> TierProfile:
    """The same profile as if the model could be cut at some of its cuts alone: blocks between are one.

    Each block but the first of those joined loses the cost of its own call.

    Raises:
        ValueError: one of `cuts` is none of the profile's.
    """
    places = {cut.index: place for place, cut in enumerate(profile.cuts)}
    unknown = [index for index in cuts if index not in places]
    if unknown:
        raise ValueError(f"layer {unknown[0]} is no cut of this profile")
    kept = [places[index] for index in sorted(cuts)]
    ends = [*kept, len(profile.cuts)]
    starts = [0, *(place + 1 for place in kept)]

    def joined(values: Sequence[float]) -> tuple[float, ...]:
        sums = []
        for start, end in zip(starts, ends, strict=True):
            own = values[start : end + 1]
            calls = profile.call_ms * (len(own) - 1)
            sums.append(max(sum(own) - calls, *own))
        return tuple(sums)

    theirs = [place for place, cut in enumerate(profile.cuts) if cut.scission_cut]
    dropped = [place for place in theirs if place not in kept]
    return replace(
        profile,
        cuts=tuple(profile.cuts[place] for place in kept),
        block_ms=joined(profile.block_ms),
        block_low_ms=joined(profile.block_low_ms),
        block_high_ms=joined(profile.block_high_ms),
        scission_block_ms=_without(profile.scission_block_ms, theirs, dropped),
        eager_scission_block_ms=_without(profile.eager_scission_block_ms, theirs, dropped),
        head_peak_bytes=tuple(profile.head_peak_bytes[place] for place in kept),
        block_features=tuple(profile.block_features[end] for end in ends),
    )


def _without(blocks: Sequence[float], theirs: Sequence[int], dropped: Sequence[int]) -> tuple[float, ...]:
    """Scission's blocks where some of its cuts are no cuts any more."""
    if not blocks:
        return ()
    merged, pending = [], 0.0
    for place, ms in zip([*theirs, None], blocks, strict=True):
        pending += ms
        if place not in dropped:
            merged.append(pending)
            pending = 0.0
    return tuple(merged)


def described(recordings: Mapping[str, Recording]) -> dict[str, Any]:
    """The part of `summary.json` that says what was replayed and what was estimated."""
    return {
        "replayed": {
            tier: {"system": own.system, "terms": list(REPLAYED_TERMS[tier]), **own.source}
            for tier, own in recordings.items()
        },
        "estimated": [each.as_dict() for own in recordings.values() for each in own.estimates],
    }
