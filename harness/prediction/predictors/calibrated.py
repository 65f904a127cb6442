"""Ours: whole heads and tails at anchor cuts, the link's TCP theory, and the measured cost of an empty request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.prediction.codecs import CODEC_TERMS
from harness.prediction.fitting import Parameters, fit
from harness.prediction.link_theory import Array, Link, downlink_ms, uplink_ms
from harness.prediction.predictors.base import (
    Connection,
    Evidence,
    Model,
    Predictor,
    Table,
    column,
    grid_of,
    possible,
    table,
)
from harness.results.schema import DEVICE_TERMS, EDGE_TERMS, REQUEST_IDLE_MS, Row

#: Two-sided 95 % of a normal distribution.
_Z95 = 1.96


class Calibrated(Predictor):
    """Fitted to blocks and anchors; the network by formula (DESIGN: "Predictors")."""

    name = "calibrated"

    def fit(self, evidence: Evidence) -> Model:
        return CalibratedModel(fit(evidence.profiled(), evidence.calibration), evidence.drift_error)


class CalibratedModel(Model):
    """Predicts from `Parameters`.

    The total of a split at cut i with a payload of n bytes on a device `slowdown` times slower is

        slowdown (head_i + device_tl(n) + serialize(n)) + uplink(n) + queue(n)
            + deserialize(n) + edge_tl(n) + tail_i + downlink + other

    with head and tail through the anchors, codec and queue lines in n, uplink and downlink the TCP formula
    (`netem.theory`) plus what gRPC and the server add to it.
    """

    def __init__(self, parameters: Parameters, drift_error: float = 0.0) -> None:
        self.parameters = parameters
        self._drift_error = drift_error

    @property
    def response_bytes(self) -> float:
        return float(self.parameters.response_bytes)

    def predict(
        self,
        link: Link,
        rows: Sequence[Row],
        *,
        slowdown: float | Array = 1.0,
        connection: Connection = "warm",
        silence_ms: float = 0.0,
    ) -> Table:
        own = possible(rows)
        grid = grid_of(link, slowdown)
        terms = self._tiers(own, grid) | self._server(own, link, grid)
        for term in DEVICE_TERMS:
            if term in terms:
                terms[term] = terms[term] * slowdown
        terms["uplink"] = self._uplink(own, terms, link, grid, connection, silence_ms)
        sent = _sent(own, grid)
        return table(
            own,
            terms,
            grid,
            other_ms=np.where(sent, self.parameters.other_ms, 0.0),
            error_ms=self._error_ms(own, terms, sent, slowdown, grid),
            tail_ms=self._tail_ms(terms, sent),
        )

    # -- terms ------------------------------------------------------------------------------------------

    def _tiers(self, rows: Sequence[Row], grid: tuple[int, ...]) -> dict[str, Array]:
        p = self.parameters
        nothing = float("nan")
        head, tail = [], []
        codec: dict[str, list[float]] = {term: [] for term in CODEC_TERMS}
        for row in rows:
            key = row.key
            local, split = key.candidate == "device-only", key.split
            head.append(p.head_ms[p.last] if local else p.head_ms[split] if split else nothing)
            tail.append(nothing if local else p.tail_ms[split or 0])
            known = p.known_ms.get(str(key), {})
            for term, ms in self._codec_ms(row).items():
                codec[term].append(known.get(term, ms))
        found = {"device": column(head, grid), "edge": column(tail, grid)}
        return found | {term: column(values, grid) for term, values in codec.items()}

    def _codec_ms(self, row: Row) -> dict[str, float]:
        p, key, nothing = self.parameters, row.key, float("nan")
        if key.candidate == "device-only":
            return dict.fromkeys(CODEC_TERMS, nothing)
        if key.candidate == "edge-only":
            own = p.input_codec_ms.get(key.wire_format, {})
            return {term: own.get(term, nothing) for term in CODEC_TERMS}
        terms = ("serialize", "deserialize") if key.transfer_layer == "none" else CODEC_TERMS
        size = row.payload_bytes or 0
        return {
            term: max(0.0, p.codec[term][0] + p.codec[term][1] * size) if term in terms and term in p.codec else nothing
            for term in CODEC_TERMS
        }

    def _server(self, rows: Sequence[Row], link: Link, grid: tuple[int, ...]) -> dict[str, Array]:
        p = self.parameters
        sent, sizes = _sent(rows, grid), _sizes(rows, grid)
        downlink = downlink_ms(link, float(p.response_bytes)) + p.downlink_excess_ms
        return {
            "queue": np.where(sent, np.maximum(0.0, p.queue[0] + p.queue[1] * sizes), np.nan),
            "downlink": np.where(sent, np.asarray(downlink), np.nan),
        }

    def _uplink(
        self,
        rows: Sequence[Row],
        terms: dict[str, Array],
        link: Link,
        grid: tuple[int, ...],
        connection: Connection,
        silence_ms: float,
    ) -> Array:
        """By formula, in the state that the candidate's own silence leaves an open connection in: from the last
        byte of one request's payload at the edge to the first of the next."""
        p = self.parameters
        sizes = _sizes(rows, grid)
        if connection == "new":
            own = uplink_ms(link, sizes, state="new")
        else:
            quiet = _sum(terms, (*DEVICE_TERMS, *EDGE_TERMS, "queue", "downlink"))
            own = uplink_ms(link, sizes, state="idle", silence_ms=quiet + REQUEST_IDLE_MS + silence_ms)
        return np.where(_sent(rows, grid), own + p.uplink_excess[0] + p.uplink_excess[1] * sizes, np.nan)

    # -- how sure ---------------------------------------------------------------------------------------

    def _error_ms(
        self,
        rows: Sequence[Row],
        terms: dict[str, Array],
        sent: NDArray[np.bool_],
        slowdown: float | Array,
        grid: tuple[int, ...],
    ) -> Array:
        """Half the interval of the measured median: what lies between the anchors, and the noise of both medians."""
        p = self.parameters
        device, edge = (_sum(terms, names) for names in (DEVICE_TERMS, EDGE_TERMS))
        # What a tier does not run it cannot be wrong about.
        heads = [
            0.0 if row.key.candidate == "edge-only" else p.head_error_ms.get(row.key.split or p.last, 0.0)
            for row in rows
        ]
        tails = [
            0.0 if row.key.candidate == "device-only" else p.tail_error_ms.get(row.key.split or 0, 0.0) for row in rows
        ]
        noise = np.sqrt(2.0) * _Z95  # the anchors' median and the request's own
        parts = [
            slowdown * column(heads, grid),
            column(tails, grid),
            noise * p.compute_spread * device,
            noise * p.compute_spread * edge,
            self._drift_error * (device + edge),
            np.where(sent, noise * p.network_spread_ms, 0.0),
        ]
        return np.asarray(np.sqrt(sum(np.square(part) for part in parts)))

    def _tail_ms(self, terms: dict[str, Array], sent: NDArray[np.bool_]) -> Array:
        """From the median to the 95th percentile of single requests; compute and network vary apart."""
        p = self.parameters
        compute = _sum(terms, (*DEVICE_TERMS, *EDGE_TERMS))
        return np.hypot(p.compute_tail * compute, np.where(sent, p.network_tail_ms, 0.0))


def _sent(rows: Sequence[Row], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    return column([row.key.candidate != "device-only" for row in rows], grid) > 0


def _sizes(rows: Sequence[Row], grid: tuple[int, ...]) -> Array:
    return column([float(row.payload_bytes or 0) for row in rows], grid)


def _sum(terms: dict[str, Array], names: Sequence[str]) -> Array:
    total = np.zeros(1)
    for name in names:
        if name in terms:
            total = total + np.nan_to_num(terms[name])
    return total
