"""The numeric stage of a wire format: in which numbers the tensor at the cut is sent (NumPy).

float16 and uint8 have a twin in Keras for training (`harness.transfer.twins`) that is equal bit for bit. What both
must share stands here: constants, and the order of operations. Every operation is a single IEEE float32 one that no
compiler may fuse or reassociate into another result (no product is added to, no division is by a constant, which XLA
would turn into a product).
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import SpecError
from harness.transfer.payload import Array, Payload, WireFormatError
from harness.transfer.registry import Registry

REGISTRY: Registry[Numeric] = Registry("wire_format")

#: Largest finite float16; what lies beyond is sent as this and not as infinity.
FLOAT16_LARGEST = 65504.0
#: Steps between the 256 values of a byte, and the float32 next to their reciprocal.
STEPS = 255.0
PER_STEP = float(np.float32(1.0) / np.float32(STEPS))
#: No scale is below this, which is nothing beside any activation, and far above the denormal numbers, which TensorFlow
#: takes for zero.
SMALLEST_SCALE = 1e-30


@dataclass(frozen=True)
class Numeric(ABC):
    """One way to write numbers. A frozen dataclass of its parameters; subclasses register under their `name`.

    header_bytes  in front of the numbers, never compressed
    dtype         of the numbers, little-endian
    """

    name: ClassVar[str]
    dtype: ClassVar[np.dtype[np.generic]]
    header_bytes: ClassVar[int] = 0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        REGISTRY.register(cls.name, cls)

    @abstractmethod
    def encode(self, tensor: NDArray[np.float32]) -> tuple[bytes, Array]:
        """Header and numbers of a tensor, which keep its shape; raises WireFormatError where they cannot hold it."""

    @abstractmethod
    def decode(self, header: Payload, numbers: Array) -> NDArray[np.float32]:
        """The inverse, perhaps a view of `numbers`; raises WireFormatError for a header that is none."""


@dataclass(frozen=True)
class Float32(Numeric):
    """The tensor as it is."""

    name = "float32"
    dtype = np.dtype("<f4")

    def encode(self, tensor: NDArray[np.float32]) -> tuple[bytes, Array]:
        return b"", tensor

    def decode(self, header: Payload, numbers: Array) -> NDArray[np.float32]:  # noqa: ARG002
        return numbers


@dataclass(frozen=True)
class Float16(Numeric):
    """IEEE half precision, rounded to the nearest even; what is too large for it becomes its largest number."""

    name = "float16"
    dtype = np.dtype("<f2")

    def encode(self, tensor: NDArray[np.float32]) -> tuple[bytes, Array]:
        largest = np.float32(FLOAT16_LARGEST)
        return b"", np.clip(tensor, -largest, largest).astype(self.dtype)

    def decode(self, header: Payload, numbers: Array) -> NDArray[np.float32]:  # noqa: ARG002
        return numbers.astype(np.float32)


@dataclass(frozen=True)
class UInt8(Numeric):
    """Affine quantisation to a byte, calibrated on the very tensor that is sent.

        scale = (high - low) / 255,  zero = round(-low / scale)
        q = clip(round(x / scale) + zero, 0, 255),  x is restored as (q - zero) scale

    as in Jacob et al., CVPR 2018: one range for the whole tensor, which always holds 0, so that the zeros behind a ReLU
    stay exact. The range travels in front of the numbers (scale as float32, zero as a byte), which makes a payload
    self-sufficient.

    percentile  low and high are the (100 - percentile)th and the percentile-th percentile of the values (order
                statistics, no interpolation); 100: the smallest and the largest. What lies beyond is clipped.
    """

    name = "uint8"
    dtype = np.dtype(np.uint8)
    header_bytes = struct.calcsize("<fB")

    percentile: float = 100.0

    def __post_init__(self) -> None:
        given = self.percentile
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not 50 < given <= 100:
            raise SpecError(f"wire_format uint8: percentile={given!r} is not allowed; allowed: above 50 to 100")
        object.__setattr__(self, "percentile", float(given))

    def encode(self, tensor: NDArray[np.float32]) -> tuple[bytes, Array]:
        scale, zero = self._calibrate(tensor)
        with np.errstate(over="ignore"):  # far beyond a narrow range: clipped below
            steps = tensor / scale
        np.rint(steps, out=steps)
        steps += zero
        np.clip(steps, np.float32(0), np.float32(STEPS), out=steps)
        return struct.pack("<fB", scale, int(zero)), steps.astype(np.uint8)

    def decode(self, header: Payload, numbers: Array) -> NDArray[np.float32]:
        scale, zero = struct.unpack("<fB", header)
        if not np.isfinite(scale) or scale <= 0:
            raise WireFormatError(
                f"wire_format uint8: got a scale of {scale}; allowed: above 0; the payload is damaged"
            )
        restored = numbers.astype(np.float32)
        restored -= np.float32(zero)
        restored *= np.float32(scale)
        return restored

    def _calibrate(self, tensor: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
        """Scale and zero point, the latter as the float32 of a whole number from 0 to 255."""
        low, high = self._range(tensor)
        low, high = min(low, np.float32(0)), max(high, np.float32(0))
        with np.errstate(over="ignore", invalid="ignore"):
            width = high - low
        if not np.isfinite(width):
            raise WireFormatError(
                "wire_format uint8: the tensor at the cut holds values that are not finite, or a range beyond float32; "
                "allowed: finite values; check the model's weights, or use wire_format=float32"
            )
        scale = max(width * np.float32(PER_STEP), np.float32(SMALLEST_SCALE))
        return scale, min(np.rint(-low / scale), np.float32(STEPS))

    def _range(self, tensor: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
        first, last = order_statistics(tensor.size, self.percentile)
        if first == 0:
            return tensor.min(), tensor.max()
        if not np.isfinite([tensor.min(), tensor.max()]).all():  # among the order statistics a few would not show
            return np.float32(0), np.float32(np.inf)
        ordered = np.partition(tensor, (first, last), axis=None)
        return ordered[first], ordered[last]


def order_statistics(count: int, percentile: float) -> tuple[int, int]:
    """Places of a tensor's low and high end among its `count` values in order, from 0."""
    first = int((100.0 - percentile) / 100.0 * (count - 1))
    return first, count - 1 - first
