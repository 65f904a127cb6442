"""A made-up pair of tiers whose true cost is a formula: no part of it was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.prediction.candidates import enumerate_rows
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.profile import Calibration, CutRecord, Profiles, TierProfile
from harness.prediction.selection import anchor_keys
from harness.results.schema import Key, Row
from netem.link import LinkSpec

PICTURES = {"float32": 4 * 24 * 24 * 3, "uint8": 24 * 24 * 3, "jpeg": 700}
LAYERS = ("none", "maxpool")
RESPONSE_BYTES = 4_150


def make_link(mbps: float = 57.0, rtt_ms: float = 28.0) -> LinkSpec:
    return LinkSpec(rate_up_mbps=mbps, rate_down_mbps=1000, delay_up_ms=rtt_ms / 2, delay_down_ms=rtt_ms / 2)


@dataclass
class World:
    """Heads cost `overhead` + `pace` x their blocks, tails likewise; codecs and echoes are lines in the size.

    The blocks, run one by one, say where time is spent but not how much: that is the truth's `pace`.
    """

    cuts: int = 20
    overhead_ms: float = 0.4
    pace: float = 0.8
    edge_factor: float = 0.5
    seed: int = 0
    uplink_excess: tuple[float, float] = (1.2, 3e-6)
    queue: tuple[float, float] = (0.3, 1e-6)
    downlink_excess_ms: float = 0.7
    other_ms: float = 0.2
    link: LinkSpec = field(default_factory=make_link)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.block_ms = random.uniform(0.2, 4.0, self.cuts + 1)
        self.last = 3 * self.cuts + 4
        self.cut_records = tuple(
            CutRecord(3 * place + 1, f"layer_{place}", self._shape(place), scission_cut=place % 3 != 1)
            for place in range(self.cuts)
        )

    def _shape(self, place: int) -> tuple[int, ...]:
        if place == self.cuts - 1:
            return (40,)  # after the global pooling: no spatial axes
        side = max(1, 24 - place)
        return (side, side, 4 + place)

    # -- truth ------------------------------------------------------------------------------------------

    def head_ms(self, cut: int) -> float:
        done = sum(ms for ms, index in zip(self.block_ms, self._ends(), strict=True) if index <= cut)
        return self.overhead_ms + self.pace * float(done)

    def tail_ms(self, cut: int) -> float:
        left = sum(ms for ms, index in zip(self.block_ms, self._ends(), strict=True) if index > cut)
        return self.edge_factor * (self.overhead_ms + self.pace * float(left))

    def codec_ms(self, key: Key, payload_bytes: int) -> tuple[dict[str, float], dict[str, float]]:
        pooled = key.transfer_layer != "none"
        device = {"device_tl": 0.1 + 4e-6 * payload_bytes if pooled else 0.0, "serialize": 0.05 + 1e-6 * payload_bytes}
        edge = {"deserialize": 0.04 + 1e-6 * payload_bytes, "edge_tl": 0.08 + 5e-6 * payload_bytes if pooled else 0.0}
        return device, edge

    def total_ms(self, row: Row, link: LinkSpec, slowdown: float) -> float:
        if row.key.candidate == "device-only":
            return slowdown * self.head_ms(self.last)
        size = row.payload_bytes or 0
        device, edge = self.codec_ms(row.key, size)
        head = self.head_ms(row.key.split) if row.key.split is not None else 0.0
        up = float(uplink_ms(link, np.array([float(size)]))[0]) + self.uplink_excess[0] + self.uplink_excess[1] * size
        queue = self.queue[0] + self.queue[1] * size
        down = downlink_ms(link, RESPONSE_BYTES) + self.downlink_excess_ms
        tiers = slowdown * (head + sum(device.values())) + sum(edge.values()) + self.tail_ms(row.key.split or 0)
        return tiers + up + queue + down + self.other_ms

    # -- what was learnt of it --------------------------------------------------------------------------

    def rows(self, min_split: int = 0) -> list[Row]:
        return enumerate_rows(
            self._tier("device", {}), transfer_layers=LAYERS, wire_format="float32", min_split=min_split
        )

    def profiles(self, anchors: int = 4) -> Profiles:
        sizes = {row.key: row.payload_bytes for row in self.rows() if row.payload_bytes is not None}
        codecs = {key: self.codec_ms(key, size) for key, size in sizes.items()}
        device, edge = (
            self._tier(tier, {str(key): pair[place] for key, pair in codecs.items()})
            for place, tier in enumerate(("device", "edge"))
        )
        keys = anchor_keys(device, count=anchors, transfer_layer="maxpool", avoid=())
        calibration = Calibration(
            fingerprint={},
            anchors={str(key): self._anchor(key, codecs) for key in keys},
            echoes={size: self._echo(size) for size in (2_000, 60_000, 400_000)},
            other_ms=self.other_ms,
            response_bytes=RESPONSE_BYTES,
            compute_spread=0.01,
            network_spread_ms=0.3,
        )
        return Profiles(device, edge, calibration)

    def _anchor(self, key: Key, codecs: dict[Key, Any]) -> dict[str, float]:
        if key.candidate == "device-only":
            return {"device": self.head_ms(self.last)}
        device, edge = codecs[key]
        terms = device | edge | {"edge": self.tail_ms(key.split or 0)}
        if key.split is not None:
            terms["device"] = self.head_ms(key.split)
        return terms

    def _echo(self, size: int) -> dict[str, float]:
        return {
            "uplink_excess": self.uplink_excess[0] + self.uplink_excess[1] * size,
            "queue": self.queue[0] + self.queue[1] * size,
            "downlink_excess": self.downlink_excess_ms,
        }

    def _ends(self) -> list[int]:
        return [*(cut.index for cut in self.cut_records), self.last]

    def _tier(self, tier: str, codec_ms: dict[str, dict[str, float]]) -> TierProfile:
        factor = 1.0 if tier == "device" else self.edge_factor
        blocks = factor * self.block_ms
        bounds = [place for place, cut in enumerate(self.cut_records) if cut.scission_cut]
        starts = [0, *(place + 1 for place in bounds)]
        ends = [*(place + 1 for place in bounds), len(blocks)]
        return TierProfile(
            tier=tier,
            fingerprint={"tier": tier},
            cuts=self.cut_records,
            last=self.last,
            input_shape=(24, 24, 3),
            picture_bytes=PICTURES,
            block_ms=tuple(float(ms) for ms in blocks),
            # Fewer, larger blocks: fusion makes them a little faster than their parts.
            scission_block_ms=tuple(0.9 * float(blocks[a:b].sum()) for a, b in zip(starts, ends, strict=True)),
            codec_ms=codec_ms,
        )
