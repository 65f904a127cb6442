"""A made-up pair of tiers whose true cost is a formula: no part of it was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.dnn.features import LayerFeatures
from harness.prediction.candidates import enumerate_rows
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.profile import Calibration, CutRecord, Profiles, TierProfile
from harness.prediction.selection import anchor_keys
from harness.results.schema import Key, Row
from harness.transfer.encoding import Encoding
from netem.link import LinkSpec

PICTURES = {"float32": 4 * 24 * 24 * 3, "uint8": 24 * 24 * 3, "jpeg": 700}
LAYERS = ("none", "maxpool")
RESPONSE_BYTES = 4_150


def make_link(mbps: float = 57.0, rtt_ms: float = 28.0) -> LinkSpec:
    return LinkSpec(rate_up_mbps=mbps, rate_down_mbps=1000, delay_up_ms=rtt_ms / 2, delay_down_ms=rtt_ms / 2)


@dataclass
class World:
    """A head or tail costs the sum of its blocks; codecs and echoes are lines in the payload's size.

    A profile of it says more than that: a block run alone takes `call_ms` longer. And a request takes longer than
    its parts: a codec step costs `in_request_ms` more in one than alone in a loop.
    """

    cuts: int = 20
    call_ms: float = 0.3
    in_request_ms: float = 0.1
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
        return float(done)

    def tail_ms(self, cut: int) -> float:
        left = sum(ms for ms, index in zip(self.block_ms, self._ends(), strict=True) if index > cut)
        return self.edge_factor * float(left)

    def codec_ms(
        self, key: Key, payload_bytes: int, extra_ms: float = 0.0
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Terms of transfer layer and wire format on device and edge, as a loop has them, plus `extra_ms` each."""
        pooled = key.transfer_layer != "none"
        device = {"serialize": 0.05 + 1e-6 * payload_bytes + extra_ms}
        edge = {"deserialize": 0.04 + 1e-6 * payload_bytes + extra_ms}
        if pooled:
            device["device_tl"] = 0.1 + 4e-6 * payload_bytes + extra_ms
            edge["edge_tl"] = 0.08 + 5e-6 * payload_bytes + extra_ms
        return device, edge

    def total_ms(self, row: Row, link: LinkSpec, slowdown: float) -> float:
        if row.key.candidate == "device-only":
            return slowdown * self.head_ms(self.last)
        size = row.payload_bytes or 0
        device, edge = self.codec_ms(row.key, size, self.in_request_ms)
        head = self.head_ms(row.key.split) if row.key.split is not None else 0.0
        up = float(uplink_ms(link, np.array([float(size)]))[0]) + self.uplink_excess[0] + self.uplink_excess[1] * size
        queue = self.queue[0] + self.queue[1] * size
        down = downlink_ms(link, RESPONSE_BYTES) + self.downlink_excess_ms
        tiers = slowdown * (head + sum(device.values())) + sum(edge.values()) + self.tail_ms(row.key.split or 0)
        return tiers + up + queue + down + self.other_ms

    # -- what was learnt of it --------------------------------------------------------------------------

    def rows(self, min_split: int = 0) -> list[Row]:
        return enumerate_rows(
            self._tier("device", {}), encodings=[Encoding(name) for name in LAYERS], min_split=min_split
        )

    def profiles(self, anchors: int = 4) -> Profiles:
        sizes = {row.key: row.payload_bytes for row in self.rows() if row.payload_bytes is not None}
        nothing = {"device_tl": 1e-3}, {"edge_tl": 1e-3}  # what timing no transfer layer takes
        codecs = {
            key: tuple(idle | own for idle, own in zip(nothing, self.codec_ms(key, size), strict=True))
            for key, size in sizes.items()
        }
        device, edge = (
            self._tier(tier, {str(key): pair[place] for key, pair in codecs.items()})
            for place, tier in enumerate(("device", "edge"))
        )
        keys = anchor_keys(device, count=anchors, encoding=Encoding("maxpool"), avoid=())
        calibration = Calibration(
            fingerprint={},
            anchors={str(key): self._anchor(key, sizes) for key in keys},
            echoes={size: self._echo(size) for size in (1, 2_000, 60_000, 400_000)},
            downlink_excess_ms=self.downlink_excess_ms,
            other_ms=self.other_ms,
            response_bytes=RESPONSE_BYTES,
            compute_spread=0.01,
            network_spread_ms=0.3,
            compute_tail=0.03,
            network_tail_ms=0.5,
            link=self.link.as_dict(),
        )
        return Profiles(device, edge, calibration)

    def _anchor(self, key: Key, sizes: dict[Key, int]) -> dict[str, float]:
        if key.candidate == "device-only":
            return {"device": self.head_ms(self.last)}
        device, edge = self.codec_ms(key, sizes[key], self.in_request_ms)
        terms = device | edge | {"edge": self.tail_ms(key.split or 0)}
        if key.split is not None:
            terms["device"] = self.head_ms(key.split)
        return terms

    def _echo(self, size: int) -> dict[str, float]:
        return {
            "uplink_excess": self.uplink_excess[0] + self.uplink_excess[1] * size,
            "queue": self.queue[0] + self.queue[1] * size,
        }

    def _ends(self) -> list[int]:
        return [*(cut.index for cut in self.cut_records), self.last]

    def _tier(self, tier: str, codec_ms: dict[str, dict[str, float]]) -> TierProfile:
        factor = 1.0 if tier == "device" else self.edge_factor
        blocks = factor * (self.block_ms + self.call_ms)
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
            # Fewer, larger blocks: fewer calls.
            scission_block_ms=tuple(0.9 * float(blocks[a:b].sum()) for a, b in zip(starts, ends, strict=True)),
            codec_ms=codec_ms,
            block_low_ms=tuple(0.98 * float(ms) for ms in blocks),
            block_high_ms=tuple(1.03 * float(ms) for ms in blocks),
            eager_scission_block_ms=tuple(5.0 * float(blocks[a:b].sum()) for a, b in zip(starts, ends, strict=True)),
            call_ms=factor * self.call_ms,
            head_peak_bytes=tuple(1_000_000 + 5_000 * place for place in range(self.cuts)),
            block_features=tuple(
                {"Conv2D 3x3": LayerFeatures(3, int(1e6 * ms), 500, 9_000, 8_000)} for ms in self.block_ms
            ),
        )
