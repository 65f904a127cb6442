"""The entropy stage of a wire format: how the numbers of a payload are packed (NumPy and compression libraries)."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import SpecError
from harness.transfer.payload import (
    JPEG_LONGEST,
    JPEG_QUALITIES,
    Array,
    Payload,
    Shape,
    WireFormatError,
    decode_jpeg,
    encode_jpeg,
    require_length,
)
from harness.transfer.registry import Registry

REGISTRY: Registry[Entropy] = Registry("wire_format.entropy")

#: libjpeg codes blocks of 8 x 8 pixels.
_BLOCK = 8


@dataclass(frozen=True)
class Entropy(ABC):
    """One way to pack numbers. A frozen dataclass of its parameters; subclasses register under their `name`."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        REGISTRY.register(cls.name, cls)

    def infeasible_because(self, shape: Shape) -> str | None:  # noqa: ARG002
        """Why numbers of `shape` (without batch axis) cannot be packed; None where they can."""
        return None

    @abstractmethod
    def pack(self, numbers: Array) -> bytes:
        """Numbers [batch, ...] as bytes."""

    @abstractmethod
    def unpack(self, payload: Payload, shape: Shape, dtype: np.dtype[np.generic]) -> Array:
        """The inverse (JPEG: nearly), perhaps a read-only view of `payload`. Raises WireFormatError.

        Nothing larger than the numbers of `shape` is ever allocated, whatever the payload claims.
        """

    def _require_level(self, level: int, highest: int) -> None:
        if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= highest:
            raise SpecError(
                f"wire_format.entropy {self.name}: level={level!r} is not allowed; "
                f"allowed: a whole number from 1 to {highest}"
            )


@dataclass(frozen=True)
class NoEntropy(Entropy):
    """The numbers' own bytes: C order, little-endian."""

    name = "none"

    def pack(self, numbers: Array) -> bytes:
        return numbers.tobytes()

    def unpack(self, payload: Payload, shape: Shape, dtype: np.dtype[np.generic]) -> Array:
        require_length(payload, math.prod(shape) * dtype.itemsize, shape, dtype.name)
        return np.frombuffer(payload, dtype=dtype).reshape(shape)


@dataclass(frozen=True)
class Zlib(Entropy):
    """DEFLATE with zlib's frame. level: 1 (fast) to 9 (small)."""

    name = "zlib"

    level: int = 6

    def __post_init__(self) -> None:
        self._require_level(self.level, 9)

    def pack(self, numbers: Array) -> bytes:
        return zlib.compress(np.ascontiguousarray(numbers).data.cast("B"), self.level)

    def unpack(self, payload: Payload, shape: Shape, dtype: np.dtype[np.generic]) -> Array:
        expected = math.prod(shape) * dtype.itemsize
        stream = zlib.decompressobj()
        try:
            content = stream.decompress(payload, expected + 1)
        except zlib.error as error:
            raise _damaged(self.name, payload, str(error)) from error
        if len(content) != expected or not stream.eof or stream.unused_data:
            raise _damaged(self.name, payload, f"not exactly {expected} bytes in it")
        return np.frombuffer(content, dtype=dtype).reshape(shape)


@dataclass(frozen=True)
class Zstd(Entropy):
    """Zstandard, one frame that states its content's size. level: 1 (fast) to 22 (small)."""

    name = "zstd"

    level: int = 3

    def __post_init__(self) -> None:
        self._require_level(self.level, 22)

    def pack(self, numbers: Array) -> bytes:
        import zstandard  # late: a server needs it for this format alone

        return zstandard.ZstdCompressor(level=self.level).compress(np.ascontiguousarray(numbers).data.cast("B"))

    def unpack(self, payload: Payload, shape: Shape, dtype: np.dtype[np.generic]) -> Array:
        import zstandard

        expected = math.prod(shape) * dtype.itemsize
        try:
            claimed = zstandard.get_frame_parameters(payload).content_size
            if claimed != expected:  # before anything is allocated for it
                raise _damaged(self.name, payload, f"not exactly {expected} bytes in it")
            content = zstandard.ZstdDecompressor().decompress(payload, max_output_size=expected, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise _damaged(self.name, payload, str(error)) from error
        if len(content) != expected:
            raise _damaged(self.name, payload, f"not exactly {expected} bytes in it")
        return np.frombuffer(content, dtype=dtype).reshape(shape)


@dataclass(frozen=True)
class JpegTiles(Entropy):
    """A grey baseline JPEG (libjpeg) of all channels side by side, in as square a grid as they give; bytes only.

    Each channel is continued by its last row and column to whole blocks of 8 x 8, so that no block has two channels in
    it. Lossy; what an unused tile holds is nothing to anybody.

    quality  libjpeg's, 1 to 95
    """

    name = "jpeg"

    quality: int = 90

    def __post_init__(self) -> None:
        given = self.quality
        if isinstance(given, bool) or not isinstance(given, int) or given not in JPEG_QUALITIES:
            raise SpecError(
                f"wire_format.entropy jpeg: quality={given!r} is not allowed; allowed: a whole number from 1 to 95"
            )

    def infeasible_because(self, shape: Shape) -> str | None:
        if len(shape) != 3:
            return f"no spatial axes: the tensor is {list(shape)}, JPEG tiles need [height, width, channels]"
        if max(_picture(shape)) > JPEG_LONGEST:
            return f"the tiles of {list(shape)} make a picture longer than JPEG's {JPEG_LONGEST} pixels"
        return None

    def pack(self, numbers: Array) -> bytes:
        if numbers.dtype != np.uint8 or len(numbers) != 1 or self.infeasible_because(numbers.shape[1:]):
            raise WireFormatError(
                f"wire_format jpeg tiles: got {numbers.dtype} of shape {list(numbers.shape)}; "
                "allowed: uint8 [1, height, width, channels]"
            )
        return encode_jpeg(tiled(numbers[0]), self.quality)

    def unpack(self, payload: Payload, shape: Shape, dtype: np.dtype[np.generic]) -> Array:  # noqa: ARG002
        reason = self.infeasible_because(shape[1:])
        if reason is not None:
            raise WireFormatError(f"wire_format jpeg tiles: {reason}")
        return untiled(decode_jpeg(payload, _picture(shape[1:]), "jpeg tiles"), shape[1:])[np.newaxis]


def tiled(channels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[height, width, channels] as one picture [rows * height, columns * width], both rounded up to whole blocks."""
    height, width, count = channels.shape
    rows, columns, tall, wide = _grid(channels.shape)
    whole = np.pad(channels, ((0, tall - height), (0, wide - width), (0, 0)), mode="edge")
    grid = np.zeros((rows * columns, tall, wide), dtype=np.uint8)
    grid[:count] = whole.transpose(2, 0, 1)
    return np.ascontiguousarray(grid.reshape(rows, columns, tall, wide).transpose(0, 2, 1, 3)).reshape(
        rows * tall, columns * wide
    )


def untiled(picture: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """The inverse of `tiled`: [height, width, channels] of `shape`."""
    height, width, count = shape
    rows, columns, tall, wide = _grid(shape)
    grid = picture.reshape(rows, tall, columns, wide).transpose(0, 2, 1, 3).reshape(rows * columns, tall, wide)
    return np.ascontiguousarray(grid[:count, :height, :width].transpose(1, 2, 0))


def _grid(shape: Shape) -> tuple[int, int, int, int]:
    """Rows and columns of the grid, height and width of a tile."""
    height, width, count = shape
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns, -(-height // _BLOCK) * _BLOCK, -(-width // _BLOCK) * _BLOCK


def _picture(shape: Shape) -> tuple[int, int]:
    rows, columns, tall, wide = _grid(shape)
    return rows * tall, columns * wide


def _damaged(name: str, payload: Payload, why: str) -> WireFormatError:
    return WireFormatError(
        f"wire_format {name}: got {memoryview(payload).nbytes} bytes that do not unpack ({why}); "
        "the payload is damaged or of another cut"
    )
