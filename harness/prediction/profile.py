"""Profiles as data: what each tier costs, and what the server adds on an empty request.

A profile is made once per tier, host and model, kept on disk by content, and read for any link and any partner.
Its numbers are this host's own: the pace of an emulated board is applied when predicting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from harness.dnn.features import LayerFeatures

if TYPE_CHECKING:
    from harness.prediction.recording import Recording

#: 2: intervals, eager times, the cost of a call, memory, features, flags.
PROFILE_VERSION = 2

#: What every record on disk is held to: no unknown key, no conversion of types, no nan, no infinity.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Ms = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Text = Annotated[str, Field(min_length=1)]
#: By candidate key and term.
Table = dict[str, dict[str, Ms]]
#: By layer type, see `harness.dnn.features`.
Features = dict[str, LayerFeatures]


@dataclass(frozen=True)
class CutRecord:
    """A cut as a profile knows it: Keras index, layer name, shape without batch axis, and whether it is theirs."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    index: Count
    layer: str
    shape: tuple[Count, ...]
    scission_cut: bool


@dataclass(frozen=True)
class Flag:
    """Two timed slices that contradict each other: the longer one contains the shorter one and was faster.

    longer, shorter: names of the slices. by_ms: how much faster, between the near ends of their intervals.
    share: the same as a share of the shorter one's time.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    longer: Text
    shorter: Text
    by_ms: Ms
    share: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class TierProfile:
    """What one tier costs. Medians in ms.

    block_ms: one entry a cut, then one for the rest: layers between consecutive cuts, run one by one.
    block_low_ms, block_high_ms: 95 % bootstrap intervals of these medians.
    scission_block_ms: the same between consecutive `scission_cut`s.
    eager_scission_block_ms: the same blocks in eager mode, as published profiles were made; empty: not timed.
    call_ms: a call without any layer in it; every block's time holds one.
    codec_ms: by candidate key, what its transfer layer and wire format cost on this tier, by term.
    payload_bytes: by candidate key, of the device and where the size depends on the content (of a packed format; of
        any, where the message writes numbers): bytes on the wire of the default request's payload.
    head_peak_bytes: one entry a cut: memory of the head, see `harness.dnn.features.head_peak_bytes`.
    block_features: one entry a block: what its layers are, by type.
    flags: blocks that contradict each other.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    tier: str
    fingerprint: dict[str, Any]
    cuts: Annotated[tuple[CutRecord, ...], Field(min_length=1)]
    last: Count
    input_shape: tuple[Count, ...]
    picture_bytes: dict[str, Count]
    block_ms: tuple[Ms, ...]
    block_low_ms: tuple[Ms, ...]
    block_high_ms: tuple[Ms, ...]
    scission_block_ms: tuple[Ms, ...]
    eager_scission_block_ms: tuple[Ms, ...]
    call_ms: Ms
    codec_ms: Table
    head_peak_bytes: tuple[Count, ...]
    block_features: tuple[Features, ...]
    flags: tuple[Flag, ...] = ()
    payload_bytes: dict[str, Count] = field(default_factory=dict)
    schema_version: int = PROFILE_VERSION


@dataclass(frozen=True)
class ModelFeatures:
    """What a model is, without any time: enough for `regression` to predict one that was never profiled.

    model, content: its name in the zoo, and what decides its cost (`zoo.content_key`).
    The other fields are those of `TierProfile`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: Text
    content: Text
    cuts: Annotated[tuple[CutRecord, ...], Field(min_length=1)]
    last: Count
    input_shape: tuple[Count, ...]
    picture_bytes: dict[str, Count]
    head_peak_bytes: tuple[Count, ...]
    block_features: tuple[Features, ...]
    schema_version: int = PROFILE_VERSION


@dataclass(frozen=True)
class Calibration:
    """Whole heads and tails at anchor cuts, and what gRPC and the server add to the link's own time. Medians in ms.

    anchors: by candidate key, the terms of both tiers as a request of that candidate has them, run without its
        payload on the link; the device's own, before the pace of an emulated board.
    echoes: by payload bytes, `uplink_excess` (above the link theory) and `queue` of requests without compute;
        at 1 byte, of the anchors' own messages.
    downlink_excess_ms, other_ms: of the anchors, whose answers come after the edge has computed.
    compute_spread, network_spread_ms: scatter of the anchors' compute (relative) and of the echoes' network time:
        one standard error of a median each.
    compute_tail, network_tail_ms: from the median to the 95th percentile of single requests, likewise.
    link: that the messages crossed, as asked for.
    flags: anchors that contradict each other.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    fingerprint: dict[str, Any]
    anchors: Table
    echoes: dict[Count, dict[str, float]]
    downlink_excess_ms: float
    other_ms: float
    response_bytes: Count
    compute_spread: Annotated[float, Field(ge=0)]
    network_spread_ms: Ms
    compute_tail: Ms
    network_tail_ms: Ms
    link: dict[str, Any]
    flags: tuple[Flag, ...] = ()
    schema_version: int = PROFILE_VERSION


@dataclass(frozen=True)
class Profiles:
    """Everything a forecast needs. The tiers may come from hosts of their own; the calibration is the pair's.

    recordings: by tier that is replayed, what it takes: known, and not to be fitted.
    forced: of records that were made on something else than the cell asks for, the file and what differs.
    """

    device: TierProfile
    edge: TierProfile
    calibration: Calibration
    recordings: Mapping[str, Recording] = field(default_factory=dict)
    forced: Mapping[str, dict[str, Any]] = field(default_factory=dict)
