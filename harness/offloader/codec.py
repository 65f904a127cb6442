"""What a candidate does to the tensor at its cut: shapes and wire formats, the same on both tiers (NumPy)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import zoo
from harness.profiling.tier import Tier
from harness.results.schema import Key
from harness.transfer import layers, pictures, wire


def payload_shape(tier: Tier, key: Key) -> tuple[int, ...]:
    """Shape of the tensor on the wire with its batch axis. Raises ValueError for device-only, which sends none."""
    if key.candidate == "device-only":
        raise ValueError("device-only sends nothing")
    if key.candidate == "edge-only":
        return (1, *tier.spec.input_shape)
    return (1, *layers.get(key.transfer_layer).payload_shape(tier.shape(key.split or 0)))


def source(tier: Tier, key: Key) -> NDArray[Any]:
    """What edge-only serialises: the float32 input of the model, or the uint8 picture for an image format."""
    return tier.input if pictures.get(key.wire_format).dtype == np.float32 else tier.picture


def datatype(key: Key) -> str:
    """What the numbers of a candidate's payload are, for a Communicator that writes numbers: FP32, or bytes."""
    return "FP32" if key.wire_format == "float32" else "UINT8"


def crossing(tier: Tier, key: Key, *, real: bool = False) -> NDArray[np.float32]:
    """A tensor that crosses the cut of `key`, to be timed on: float32 [1, *shape].

    A stand-in where any will do; what the default request has where the format's time and size depend on the content,
    or with `real`, where those of its message do.
    """
    split = key.split or 0
    real = real or wire.get(key.wire_format).content_dependent
    return tier.activation(split) if real else tier.random(tier.shape(split))


def serialize(key: Key, array: NDArray[Any]) -> bytes:
    """The payload. Raises WireFormatError for an array that the candidate's format cannot carry."""
    if key.candidate == "edge-only":
        return pictures.get(key.wire_format).serialize(array)
    return wire.get(key.wire_format).serialize(array)


def deserialize(tier: Tier, key: Key, payload: bytes | memoryview) -> NDArray[np.float32]:
    """The payload back to the float32 tensor that EdgeTL or the tail takes; pictures are preprocessed here."""
    shape = payload_shape(tier, key)
    if key.candidate == "split":
        return wire.get(key.wire_format).deserialize(payload, shape)
    array = pictures.get(key.wire_format).deserialize(payload, shape)
    return zoo.preprocess(tier.spec, array) if array.dtype == np.uint8 else array


def resident_payload(tier: Tier, key: Key, *, real: bool = False) -> bytes:
    """A payload of a candidate made on this tier itself: the picture's, or that of `crossing` at the cut.

    Of a format whose size depends on the content, and with `real`, it is byte for byte the default request's.
    """
    if key.candidate == "edge-only":
        return serialize(key, source(tier, key))
    if not real and not wire.get(key.wire_format).content_dependent:
        return serialize(key, tier.random(payload_shape(tier, key)[1:]))
    tensor = crossing(tier, key, real=real)
    device_tl = tier.device_tl(key.split or 0, key.transfer_layer)
    return serialize(key, tensor if device_tl is None else np.asarray(device_tl(tier.tensor(tensor))))
