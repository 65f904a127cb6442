"""What the user rules out, and what counts as best: the sections `constraints` and `rank` of a spec."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from harness.spec.fields import Part, field, nearest

#: What a ranking can be by.
OBJECTIVES = ("latency", "payload")
#: A layer by its Keras index or by its name.
Layer = int | str


def _layers(value: object) -> object:
    for layer in value if isinstance(value, list | tuple) else ():
        index = isinstance(layer, int) and not isinstance(layer, bool) and 0 <= layer <= 100_000
        if not index and not (isinstance(layer, str) and layer):
            raise ValueError(f"{layer!r} is no layer; allowed: Keras indices from 0 to 100000, and names")
    return value


Layers = Annotated[tuple[Layer, ...], Field(strict=False), BeforeValidator(_layers)]
Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(gt=0, le=1e9)]
Bytes = Annotated[int, Field(ge=0, le=2**53)]
#: Lists of layers that only a cut at them or later satisfies, and lists that only an earlier cut does.
_ON_DEVICE = ("device_layers", "not_edge_layers")
_ON_EDGE = ("edge_layers", "not_device_layers")


class TierSystems(Part):
    """A named system on a tier; null: any. The name of a recording (tx2_gpu), of the hardware, or of the host."""

    device: str | None = field("system that the device has to be, e.g. tx2_gpu", min_length=1)
    edge: str | None = field("system that the edge has to be, e.g. ampere", min_length=1)


class Constraints(Part):
    """What the user rules out (`conf/constraints`); null or an empty list: nothing.

    Cut and layers are Keras indices; edge-only counts as the cut 0 (the picture itself is sent), device-only as
    the cut at the last layer. Times and sizes are predicted ones.
    """

    min_split: int = field("least Keras index of the last device layer, the cut; 0: no constraint", ge=0, le=10_000)
    max_split: int | None = field("greatest Keras index of the last device layer", ge=0, le=10_000)
    device_layers: Layers = field("layers that must run on the device, by Keras index or name, e.g. [5,conv2_block1]")
    edge_layers: Layers = field("layers that must run on the edge")
    not_device_layers: Layers = field("layers that must not run on the device")
    not_edge_layers: Layers = field("layers that must not run on the edge")
    tier: TierSystems
    max_upload_bytes: Bytes | None = field("largest payload on the uplink", "bytes")
    max_latency_ms: Milliseconds | None = field("longest request, the target", "ms")
    max_device_ms: Milliseconds | None = field("longest work of the device in a request", "ms")
    max_edge_ms: Milliseconds | None = field("longest work of the edge in a request", "ms")
    max_device_share: Share | None = field("the same as a share of the request", "fraction")
    max_edge_share: Share | None = field("the same as a share of the request", "fraction")
    max_device_memory_bytes: Bytes | None = field("largest peak memory of the head on the device", "bytes")
    max_leakage: Share | None = field(
        "most that the payload's tensor may reveal of the picture: distance correlation, as mode=profile "
        "leakage.enabled=true measures it; edge-only reveals 1, device-only 0"
    )
    objective: Literal["latency", "payload"] | dict[Literal["latency", "payload"], float] = field(
        "what is best: latency, payload, or weights such as {latency: 0.7, payload: 0.3}"
    )

    @field_validator("max_split")
    @classmethod
    def _not_below_min(cls, max_split: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min_split")
        if max_split is not None and least is not None and max_split < least:
            raise ValueError(f"below constraints.min_split={least}, no cut is left; allowed: null, or at least {least}")
        return max_split

    @field_validator("device_layers", "edge_layers", "not_device_layers", "not_edge_layers")
    @classmethod
    def _possible(cls, layers: tuple[Layer, ...], info: ValidationInfo) -> tuple[Layer, ...]:
        """A cut is left that satisfies these lists and the limits of the cut, as far as the spec alone can tell."""
        given = {**info.data, info.field_name or "": layers}
        on_device = [layer for name in _ON_DEVICE for layer in given.get(name, ())]
        on_edge = [layer for name in _ON_EDGE for layer in given.get(name, ())]
        both = [layer for layer in on_device if layer in on_edge]
        if both:
            raise ValueError(f"layer {both[0]} would have to run on both tiers; allowed: each layer on one")
        least = max([given.get("min_split") or 0, *(layer for layer in on_device if isinstance(layer, int))])
        beyond = [layer for layer in on_edge if isinstance(layer, int)]
        if given.get("max_split") is not None:
            beyond.append(given["max_split"] + 1)
        if beyond and least >= min(beyond):
            raise ValueError(
                f"no cut is left: the other constraints ask for a cut from {least} on and below {min(beyond)}; "
                "allowed: layers that a cut can part so"
            )
        return layers

    @field_validator("objective", mode="before")
    @classmethod
    def _weights(cls, value: object) -> object:
        allowed = f"allowed: {', '.join(OBJECTIVES)}, or weights such as {{latency: 0.7, payload: 0.3}}"
        if isinstance(value, str) and value in OBJECTIVES:
            return value
        if not isinstance(value, Mapping):
            hint = nearest(value, OBJECTIVES) if isinstance(value, str) else ""
            raise ValueError(f"no such objective; {allowed}{hint}")
        for name, weight in value.items():
            if name not in OBJECTIVES:
                raise ValueError(f"no objective {str(name)!r}; {allowed}{nearest(str(name), OBJECTIVES)}")
            number = (
                isinstance(weight, int | float) and not isinstance(weight, bool) and abs(weight) <= sys.float_info.max
            )
            if not number or not math.isfinite(weight) or weight < 0:
                raise ValueError(f"the weight of {name} is no number from 0 on; {allowed}")
        if not any(value.values()):
            raise ValueError(f"no weight is above 0; {allowed}")
        return {str(name): float(weight) for name, weight in value.items()}


class Rank(Part):
    """How much of the ranking is shown (`conf/rank`)."""

    top: int = field("candidates shown: as many feasible ones, and as many near misses", ge=1, le=10_000)
