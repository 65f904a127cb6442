"""The paper's own: Eqs. 1 to 6 on block times summed between the cuts that the authors' tool knows.

`paper` on compiled blocks; `paper_eager` on blocks run layer by layer, as their tool times them and as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from harness.errors import SpecError
from harness.prediction.blocks import fine_cumulative_ms, scission_cumulative_ms
from harness.prediction.link_theory import Array, Link
from harness.prediction.predictors.base import (
    Connection,
    Evidence,
    Model,
    Prediction,
    Predictor,
    Table,
    column,
    grid_of,
    possible,
    table,
)
from harness.prediction.profile import Profiles, TierProfile
from harness.results.schema import Key, Row

_CODEC = {"device_tl": "device", "serialize": "device", "deserialize": "edge", "edge_tl": "edge"}


class Paper(Predictor):
    """Blocks 0..i on the device + E_TL + S_TL + C_TL + blocks i+1..n on the edge."""

    name = "paper"
    execution: ClassVar[str] = "compiled"

    def fit(self, evidence: Evidence) -> Model:
        return PaperModel(evidence.profiled(), self.execution)


class PaperEager(Paper):
    """The same on eager block times."""

    name = "paper_eager"
    execution: ClassVar[str] = "eager"

    def fit(self, evidence: Evidence) -> Model:
        if not evidence.profiled().device.eager_scission_block_ms:
            raise SpecError(
                "predictor=paper_eager: the profile has no eager block times; allowed: profiles made with "
                "profile.eager_rounds of 1 or more; make one with mode=profile profile.refresh=true"
            )
        return super().fit(evidence)


class PaperModel(Model):
    """`Latency` is the link's round trip, `Size` the payload, `Bandwidth` the uplink's rate (Eq. 4).

    A row without transfer layer has E_TL = 0 (original Scission). All of C stands in the term `uplink`: the paper
    has one round trip a request and no other way back. Queue and fixed costs it does not know.
    """

    def __init__(self, profiles: Profiles, execution: str) -> None:
        self._profiles = profiles
        self._execution = execution
        self._place = {cut.index: place for place, cut in enumerate(profiles.device.cuts)}

    def predict(
        self,
        link: Link,
        rows: Sequence[Row],
        *,
        slowdown: float | Array = 1.0,
        connection: Connection = "warm",  # noqa: ARG002 (Eq. 4 knows no connections)
        silence_ms: float = 0.0,  # noqa: ARG002
    ) -> Table:
        own = possible(rows)
        grid = grid_of(link, slowdown)
        terms = {
            "device": self._heads(own, grid) * slowdown,
            "edge": self._tails(own, grid),
            "uplink": self._c(own, link, grid),
        }
        for term, tier in _CODEC.items():
            values = column([self._codec_ms(row.key, term, tier) for row in own], grid)
            terms[term] = values * slowdown if tier == "device" else values
        error = self._relative_error() * sum(
            np.nan_to_num(values) for term, values in terms.items() if term != "uplink"
        )
        nothing = np.zeros((len(own), *(1 for _ in grid)))
        return table(own, terms, grid, other_ms=nothing, error_ms=nothing + error, tail_ms=nothing)

    def _heads(self, rows: Sequence[Row], grid: tuple[int, ...]) -> Array:
        if "device" in self._profiles.recordings:
            return self._recorded(rows, grid, "device")
        sums = self._sums(self._profiles.device)
        heads = [
            sums[-1]
            if row.key.candidate == "device-only"
            else sums[self._place[row.key.split]]
            if row.key.split
            else np.nan
            for row in rows
        ]
        return column(heads, grid)

    def _tails(self, rows: Sequence[Row], grid: tuple[int, ...]) -> Array:
        if "edge" in self._profiles.recordings:
            return self._recorded(rows, grid, "edge")
        sums = self._sums(self._profiles.edge)
        tails = [
            np.nan
            if row.key.candidate == "device-only"
            else sums[-1] - (sums[self._place[row.key.split]] if row.key.split else 0.0)
            for row in rows
        ]
        return column(tails, grid)

    def _recorded(self, rows: Sequence[Row], grid: tuple[int, ...], tier: str) -> Array:
        """Heads or tails of a replayed tier, which may have been recorded whole instead of block by block."""
        own = self._profiles.recordings[tier]
        times = [own.own_ms(row.key, tier) for row in rows]
        return column([np.nan if ms is None else ms for ms in times], grid)

    def _c(self, rows: Sequence[Row], link: Link, grid: tuple[int, ...]) -> Array:
        sizes = column([np.nan if row.payload_bytes is None else row.payload_bytes for row in rows], grid)
        return np.asarray(link.rtt_ms + sizes * 8 / (np.asarray(link.rate_up_mbps) * 1e3))

    def _codec_ms(self, key: Key, term: str, tier: str) -> float:
        if key.candidate == "device-only" or (term in ("device_tl", "edge_tl") and key.transfer_layer == "none"):
            return float("nan")  # a profile times nothing there, which takes a few microseconds
        if tier in self._profiles.recordings:
            recorded_ms = self._profiles.recordings[tier].own_ms(key, term)
            return float("nan") if recorded_ms is None else recorded_ms
        profile = self._profiles.device if tier == "device" else self._profiles.edge
        return profile.codec_ms[str(key)].get(term, float("nan"))

    def _sums(self, profile: TierProfile) -> Array:
        return scission_cumulative_ms(profile, self._execution)

    def _relative_error(self) -> float:
        """Half the 95 % interval of the sum of all blocks, as a share of it: all that block times can say."""
        profile = self._profiles.device
        half = (np.asarray(profile.block_high_ms) - np.asarray(profile.block_low_ms)) / 2
        return float(np.sqrt(np.sum(np.square(half))) / fine_cumulative_ms(profile)[-1])


def equations(predictions: Mapping[Key, Prediction]) -> dict[Key, dict[str, float]]:
    """Eqs. 1 to 6 at every cut with a transfer layer, from the terms of `PaperModel`.

    S_Orig and C_Orig are those of the same cut sent as it is, in float32.
    """
    found = {}
    for key, own in predictions.items():
        plain = predictions.get(Key("split", key.split))
        if key.candidate != "split" or key.transfer_layer == "none" or plain is None:
            continue
        e_tl, s_tl, c_tl = _parts(own.terms)
        _, s_orig, c_orig = _parts(plain.terms)
        found[key] = {
            "e_tl_ms": e_tl,
            "s_tl_ms": s_tl,
            "c_tl_ms": c_tl,
            "s_orig_ms": s_orig,
            "c_orig_ms": c_orig,
            "delta_t_ms": (s_orig + c_orig) - (e_tl + s_tl + c_tl),
        }
    return found


def _parts(terms: Mapping[str, float]) -> tuple[float, float, float]:
    """E, S and C of a row: Eqs. 1, 2 and 4, or for a row without transfer layer 0 and Eqs. 3 and 5."""
    e = terms.get("device_tl", 0.0) + terms.get("edge_tl", 0.0)
    return e, terms["serialize"] + terms["deserialize"], terms["uplink"]
