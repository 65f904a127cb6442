"""Candidates and predictions on recorded hardware: what the authors' own tool answers, Eqs. 1 to 6 (pure).

For the cut after recorded block i, with the transfer layer:

    E_TL = DeviceTL on the device + EdgeTL on the edge                                        (1)
    S_TL = (de)serialisation of the smaller tensor on both tiers                              (2)
    C_TL = round trip + recorded size / uplink rate                                           (4)
    latency(i) = device blocks 0..i + E_TL + S_TL + C_TL + edge blocks i+1..n

Sizes are those of an .npy file, header included, as the authors' tool counts them. What nobody recorded is left out
and said so, see `estimates`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.prediction.monotonic import TimedSlice, find_flags
from harness.prediction.predictors.base import Array, Connection, Link, Model, Table, column, grid_of, possible, table
from harness.prediction.profile import Flag
from harness.prediction.recorded import NPY_HEADER_BYTES, LayerBenchmark
from harness.prediction.recorded_pair import TRITON, RecordedPair, RecordedTier
from harness.prediction.recording import Estimate
from harness.results.schema import DEVICE_TERMS, EDGE_TERMS, EQUATIONS, Key, Row

#: The transfer layer that was recorded, beside none.
RECORDED_TL = "maxpool"
#: As in the answers for impossible transfer layers: the tensor has no spatial axes, or too few.
_NO_TL = "no transfer layer was possible here when this was recorded"
#: What one element of an input picture weighs, in the formats whose conversion can be estimated from its size.
PICTURE_BYTES = {"float32": 4, "uint8": 1}


def recorded_rows(pair: RecordedPair, *, input_shape: Sequence[int], min_split: int) -> list[Row]:
    """One row per candidate, in the order of `splits.csv`; without an edge the device alone.

    A split keeps the index under which it was recorded, which need not be a cut of today's Keras. The last block
    ends at the model's own output and is no split.

    Args:
        input_shape: height, width and channels of the picture that edge-only sends.
        min_split: see `enumerate_rows`.
    """
    rows = [Row(Key("device-only"))]
    if pair.edge is None or pair.edge_tf is None:
        return rows
    rows += [
        Row(Key("edge-only", None, "none", name), payload_bytes=size * math.prod(input_shape) + NPY_HEADER_BYTES)
        for name, size in PICTURE_BYTES.items()
    ]
    for block, edge in zip(pair.device.blocks[:-1], pair.edge_tf.blocks, strict=False):
        if pair.edge.runtime == TRITON and block.output_layer not in pair.edge.suffix_s:
            continue
        rows += [_split_row(block, edge, name, min_split) for name in ("none", RECORDED_TL)]
    return rows


def _split_row(block: LayerBenchmark, edge: LayerBenchmark, transfer_layer: str, min_split: int) -> Row:
    split = block.output_layer
    row = Row(Key("split", split, transfer_layer), scission_cut=True)
    needed = (block.downsample_s, block.convert_s, edge.convert_s, edge.upsample_s)
    if transfer_layer == "none":
        row.payload_bytes = block.output_npy_bytes
    elif None in needed or not block.tl_output_npy_bytes:
        row.feasible, row.infeasible_because = False, _NO_TL
        return row
    else:
        row.payload_bytes = block.tl_output_npy_bytes
    if split < min_split:
        row.feasible, row.infeasible_because = False, f"cut {split} < constraints.min_split {min_split}"
    return row


class RecordedModel(Model):
    """The paper's equations on recorded times. A recording has one time per block and so no interval."""

    def __init__(self, pair: RecordedPair) -> None:
        self._pair = pair
        self._head_ms = _cumulative_ms(pair.device)
        self._blocks = {block.output_layer: block for block in pair.device.blocks}
        self._edge_blocks = {block.output_layer: block for block in pair.edge_tf.blocks} if pair.edge_tf else {}
        self._tail_ms = tails_ms(pair)

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
        sizes = column([np.nan if row.payload_bytes is None else row.payload_bytes for row in own], grid)
        parts = [self._parts_ms(row.key) for row in own]
        terms = {
            term: column([part.get(term, np.nan) for part in parts], grid) for term in (*DEVICE_TERMS, *EDGE_TERMS)
        }
        for term in DEVICE_TERMS:
            terms[term] = terms[term] * slowdown
        terms["uplink"] = np.asarray(link.rtt_ms + sizes * 8 / (np.asarray(link.rate_up_mbps) * 1e3))
        nothing = np.zeros((len(own), *(1 for _ in grid)))
        return table(own, terms, grid, other_ms=nothing, error_ms=nothing, tail_ms=nothing)

    def _parts_ms(self, key: Key) -> dict[str, float]:
        """The recorded terms of a candidate, all but the link's."""
        if key.candidate == "device-only":
            return {"device": self._head_ms[self._pair.last]}
        if key.split is None:
            return {"edge": self._tail_ms[None]}
        parts = {"device": self._head_ms[key.split], "edge": self._tail_ms[key.split]}
        if key.transfer_layer == "none":
            return parts
        device, edge = self._blocks[key.split], self._edge_blocks[key.split]
        times_s = {
            "device_tl": device.downsample_s,
            "serialize": device.convert_s,
            "deserialize": edge.convert_s,
            "edge_tl": edge.upsample_s,
        }
        return parts | {term: 1e3 * value for term, value in times_s.items() if value is not None}


def _cumulative_ms(tier: RecordedTier) -> dict[int, float]:
    """By the index of a block's last layer, the time of all blocks up to it."""
    sums = 1e3 * np.cumsum([block.compute_s for block in tier.blocks])
    return {block.output_layer: float(ms) for block, ms in zip(tier.blocks, sums, strict=True)}


def tails_ms(pair: RecordedPair) -> dict[int | None, float]:
    """By the index of the last device layer (None: the whole model), what the edge still computes."""
    if pair.edge is None or pair.edge_tf is None:
        return {}
    whole = _cumulative_ms(pair.edge_tf)
    tails: dict[int | None, float] = {split: whole[pair.last] - ms for split, ms in whole.items()}
    tails |= {split: 1e3 * value for split, value in pair.edge.suffix_s.items()}
    return tails | {None: whole[pair.last]}


def recorded_equations(rows: Sequence[Row]) -> dict[Key, dict[str, float]]:
    """What was recorded of Eqs. 1 to 6, from the predicted terms: all but S_Orig and so delta t, by `maxpool` row."""
    plain = {row.key.split: row for row in rows if row.key.transfer_layer == "none"}
    found = {}
    for row in rows:
        if row.key.transfer_layer != RECORDED_TL or not row.predicted_terms:
            continue
        terms = row.predicted_terms
        values = (
            terms["device_tl"] + terms["edge_tl"],
            terms["serialize"] + terms["deserialize"],
            terms["uplink"],
            None,
            plain[row.key.split].predicted_terms["uplink"],
            None,
        )
        found[row.key] = {name: value for name, value in zip(EQUATIONS, values, strict=True) if value is not None}
    return found


def estimates(pair: RecordedPair, rows: Sequence[Row]) -> list[Estimate]:
    """What in the predictions of `rows` nobody recorded, and what stands in its place."""
    known = possible(rows)
    plain = tuple(row.key for row in known if row.key.candidate != "device-only" and row.key.transfer_layer == "none")
    found = []
    if plain:
        found.append(
            Estimate(
                ("serialize", "deserialize"),
                plain,
                "S_Orig, the (de)serialisation of what is sent without a transfer layer, is recorded nowhere and left "
                "out: forecast_ms and predicted_ms are lower bounds, paper_ms stays empty",
            )
        )
    if pair.edge is not None and pair.edge.runtime == TRITON:
        small = tuple(row.key for row in known if row.key.transfer_layer == RECORDED_TL)
        naive = tuple(row.key for row in known if row.key.candidate == "edge-only")
        eager = f"those of the {pair.edge.system} recording in eager TensorFlow stand in"
        found += [
            Estimate(
                ("deserialize", "edge_tl"),
                small,
                f"under Triton these are recorded nowhere: {eager}; too much if the suffixes hold EdgeTL",
            ),
            Estimate(("edge",), naive, f"a whole model under Triton is recorded nowhere: its blocks, {eager}"),
        ]
    return found


def contradictions(pair: RecordedPair) -> tuple[Flag, ...]:
    """Recorded suffixes that were faster than a shorter one, beyond noise; they are used as they are."""
    suffix_s = pair.edge.suffix_s if pair.edge is not None else {}
    slices = [
        TimedSlice(f"layers after {split}", split, pair.last, 1e3 * value, 1e3 * value, 1e3 * value)
        for split, value in suffix_s.items()
    ]
    return find_flags(slices)
