"""Wire formats: how a tensor becomes bytes and bytes a tensor again.

NumPy only. Shapes here are those of the whole array, batch axis included. A new format is a subclass here and
a YAML file in conf/wire_format. A payload comes from the network: `deserialize` answers all that is not a
payload of this format and shape with one `WireFormatError`.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import HarnessError, SpecError
from harness.transfer.registry import Registry

Shape = tuple[int, ...]
Payload = bytes | bytearray | memoryview
Array = NDArray[Any]


class WireFormatError(HarnessError):
    """An array that this format cannot carry, or bytes that are not a payload of this format."""


_REGISTRY: Registry[WireFormat] = Registry("wire_format")


class WireFormat(ABC):
    """One way to write a tensor as bytes. Concrete subclasses register themselves under their `name`.

    name        as in conf/wire_format and the column `wire_format`
    dtype       of the array that `serialize` takes and `deserialize` gives: float32 is a tensor of the
                network (its preprocessed input included), uint8 the request's picture
    applies_to  the candidates that can send it
    """

    name: ClassVar[str]
    dtype: ClassVar[np.dtype[Any]]
    applies_to: ClassVar[frozenset[Literal["edge-only", "split"]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if hasattr(cls, "name"):
            _REGISTRY.register(cls.name, cls)

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


class _Raw(WireFormat):
    """The array's own bytes: C order, little-endian, no header."""

    def serialize(self, array: Array) -> bytes:
        self._require_dtype(array)
        return array.tobytes()

    def deserialize(self, payload: Payload, shape: Shape) -> Array:
        expected = self.payload_bytes(shape)
        given = memoryview(payload).nbytes
        if given != expected:
            raise WireFormatError(
                f"wire_format {self.name}: got {given} bytes for shape {list(shape)}; "
                f"allowed: exactly {expected}; the payload is damaged or of another cut"
            )
        return np.frombuffer(payload, dtype=self.dtype).reshape(shape)

    def payload_bytes(self, shape: Shape) -> int:
        return math.prod(shape) * self.dtype.itemsize


class Float32(_Raw):
    """Any tensor, raw."""

    name = "float32"
    dtype = np.dtype("<f4")
    applies_to = frozenset({"edge-only", "split"})


class UInt8(_Raw):
    """The request's picture, raw pixels; preprocessing happens at the edge."""

    name = "uint8"
    dtype = np.dtype(np.uint8)
    applies_to = frozenset({"edge-only"})


class Jpeg(WireFormat):
    """The request's picture as a baseline JPEG with 4:2:0 chroma (libjpeg); preprocessed at the edge.

    Args:
        quality: libjpeg's, 1 to 95 (above that libjpeg only grows the file).
    """

    name = "jpeg"
    dtype = np.dtype(np.uint8)
    applies_to = frozenset({"edge-only"})

    def __init__(self, quality: int = 90) -> None:
        if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 95:
            raise SpecError(f"wire_format jpeg: quality: got {quality!r}; allowed: an integer from 1 to 95")
        self.quality = quality

    def serialize(self, array: Array) -> bytes:
        self._require_dtype(array)
        self._require_picture(array.shape)
        buffer = io.BytesIO()
        Image.fromarray(array[0]).save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()

    def deserialize(self, payload: Payload, shape: Shape) -> Array:
        self._require_picture(shape)
        _, height, width, _ = shape
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(io.BytesIO(payload), formats=["JPEG"])
            # Before anything is decoded: a header may claim a picture of any size.
            if image.size != (width, height) or image.mode != "RGB":
                raise WireFormatError(
                    f"wire_format jpeg: got a {image.mode} picture of {image.width}x{image.height}; "
                    f"allowed: RGB of {width}x{height}; the payload belongs to another model"
                )
            return np.asarray(image, dtype=np.uint8)[np.newaxis]
        except (
            OSError,
            SyntaxError,
            ValueError,
            IndexError,
            struct.error,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise WireFormatError(
                f"wire_format jpeg: got {memoryview(payload).nbytes} bytes that are no whole JPEG ({error}); "
                "the payload is damaged"
            ) from error

    def payload_bytes(self, shape: Shape) -> int | None:  # noqa: ARG002
        return None

    def _require_picture(self, shape: Shape) -> None:
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise WireFormatError(f"wire_format jpeg: got shape {list(shape)}; allowed: [1, height, width, 3]")


def get(name: str, **parameters: Any) -> WireFormat:
    """The wire format of that name. Raises SpecError, naming the nearest, where there is none."""
    return _REGISTRY.create(name, **parameters)


def input_formats() -> tuple[str, ...]:
    """What the input picture may be sent in when the whole model runs on the edge."""
    return tuple(name for name in names() if "edge-only" in get(name).applies_to)


def require_for_split(name: str) -> None:
    """Raise SpecError, naming those that can, where a format cannot carry the tensor at a cut."""
    able = [other for other in names() if "split" in get(other).applies_to]
    if name not in able:
        raise SpecError(
            f"wire_format: {name} carries the input picture only (edge-only, which every run ranks anyway); "
            f"allowed at a cut: {', '.join(able)}"
        )


def names() -> tuple[str, ...]:
    """All wire formats."""
    return _REGISTRY.names()
