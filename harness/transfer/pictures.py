"""How the request's picture is sent where the whole model runs on the edge (`edge-only`). NumPy only.

Shapes here are those of the whole array, batch axis included.

    float32  the preprocessed input tensor, raw
    uint8    the picture, raw pixels; preprocessed at the edge
    jpeg     the picture as a baseline JPEG with 4:2:0 chroma, quality 90; preprocessed at the edge

What crosses a cut is another matter: `harness.transfer.wire`.
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod

import numpy as np

from harness.errors import SpecError
from harness.transfer.payload import (
    JPEG_QUALITIES,
    Array,
    Payload,
    Shape,
    WireFormatError,
    decode_jpeg,
    encode_jpeg,
    require_length,
)


class PictureFormat(ABC):
    """One way to write an input picture as bytes.

    name   the key's `wire_format`
    dtype  of the array that `serialize` takes and `deserialize` gives: float32 is the network's preprocessed
           input, uint8 the request's picture
    """

    name: str
    dtype: np.dtype[np.generic]

    @abstractmethod
    def serialize(self, array: Array) -> bytes:
        """The payload; raises WireFormatError for another dtype or a shape that the format cannot carry."""

    @abstractmethod
    def deserialize(self, payload: Payload, shape: Shape) -> Array:
        """The array of `shape` and `dtype`, perhaps a read-only view of `payload`; raises WireFormatError."""

    @abstractmethod
    def payload_bytes(self, shape: Shape) -> int | None:
        """Size of the payload of an array of `shape`; None where it depends on the content."""

    def _require_dtype(self, array: Array) -> None:
        if array.dtype != self.dtype:
            raise WireFormatError(
                f"wire_format {self.name}: got an array of {array.dtype}; allowed: {self.dtype}; convert it first"
            )


class Raw(PictureFormat):
    """The array's own bytes: C order, little-endian, no header."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.name = self.dtype.name

    def serialize(self, array: Array) -> bytes:
        self._require_dtype(array)
        return array.tobytes()

    def deserialize(self, payload: Payload, shape: Shape) -> Array:
        require_length(payload, self.payload_bytes(shape), shape, self.name)
        return np.frombuffer(payload, dtype=self.dtype).reshape(shape)

    def payload_bytes(self, shape: Shape) -> int:
        return math.prod(shape) * self.dtype.itemsize


class Jpeg(PictureFormat):
    """A baseline JPEG with 4:2:0 chroma (libjpeg).

    Args:
        quality: libjpeg's, 1 to 95 (above that libjpeg only grows the file).
    """

    name = "jpeg"
    dtype = np.dtype(np.uint8)

    def __init__(self, quality: int = 90) -> None:
        if isinstance(quality, bool) or not isinstance(quality, int) or quality not in JPEG_QUALITIES:
            raise SpecError(
                f"wire_format jpeg: quality={quality!r} is not allowed; allowed: a whole number from 1 to 95"
            )
        self.quality = quality

    def serialize(self, array: Array) -> bytes:
        self._require_dtype(array)
        self._require_picture(array.shape)
        return encode_jpeg(array[0], self.quality)

    def deserialize(self, payload: Payload, shape: Shape) -> Array:
        self._require_picture(shape)
        return decode_jpeg(payload, shape[1:], self.name)[np.newaxis]

    def payload_bytes(self, shape: Shape) -> int | None:  # noqa: ARG002
        return None

    def _require_picture(self, shape: Shape) -> None:
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise WireFormatError(f"wire_format jpeg: got shape {list(shape)}; allowed: [1, height, width, 3]")


_FORMATS: dict[str, PictureFormat] = {own.name: own for own in (Raw("<f4"), Raw("uint8"), Jpeg())}


def get(name: str) -> PictureFormat:
    """The format of that name. Raises SpecError, naming the nearest, where there is none."""
    if name not in _FORMATS:
        close = difflib.get_close_matches(name, _FORMATS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SpecError(f"wire_format of a picture: got {name!r}; allowed: {', '.join(_FORMATS)}{hint}")
    return _FORMATS[name]


def names() -> tuple[str, ...]:
    """All formats that an input picture may be sent in."""
    return tuple(_FORMATS)
