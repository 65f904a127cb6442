"""What a candidate does to the tensor at its cut: shapes and wire formats, the same on both tiers (NumPy)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import zoo
from harness.profiling.tier import Tier
from harness.results.schema import Key
from harness.transfer import layers, wire


def payload_shape(tier: Tier, key: Key) -> tuple[int, ...]:
    """Shape of the tensor on the wire with its batch axis. Raises ValueError for device-only, which sends none."""
    if key.candidate == "device-only":
        raise ValueError("device-only sends nothing")
    if key.candidate == "edge-only":
        return (1, *tier.spec.input_shape)
    return (1, *layers.get(key.transfer_layer).payload_shape(tier.shape(key.split or 0)))


def source(tier: Tier, key: Key) -> NDArray[Any]:
    """What edge-only serialises: the float32 input of the model, or the uint8 picture for an image format."""
    return tier.input if key.wire_format == "float32" else tier.picture


def serialize(key: Key, array: NDArray[Any]) -> bytes:
    return wire.get(key.wire_format).serialize(array)


def deserialize(tier: Tier, key: Key, payload: bytes | memoryview) -> NDArray[np.float32]:
    """The payload back to the float32 tensor that EdgeTL or the tail takes; pictures are preprocessed here."""
    array = wire.get(key.wire_format).deserialize(payload, payload_shape(tier, key))
    if key.candidate == "edge-only" and array.dtype == np.uint8:
        return zoo.preprocess(tier.spec, array)
    return array
