"""What both kinds of formats share: types, their one error, and JPEG (NumPy, libjpeg)."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import HarnessError

Shape = tuple[int, ...]
Payload = bytes | bytearray | memoryview
Array = NDArray[Any]


class WireFormatError(HarnessError):
    """An array that this format cannot carry, or bytes that are not a payload of this format."""


#: What Pillow raises for bytes that are no whole picture, or claim to be one of any size.
NO_PICTURE = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
#: libjpeg's quality; above 95 it only grows the file.
JPEG_QUALITIES = range(1, 96)
#: Longest side that libjpeg takes.
JPEG_LONGEST = 65_500


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """A baseline JPEG of uint8 pixels: [height, width] grey, or [height, width, 3] RGB with 4:2:0 chroma."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def decode_jpeg(payload: Payload, shape: Shape, name: str) -> NDArray[np.uint8]:
    """The pixels, of `shape` as for `encode_jpeg`; `name` of the format is for the message.

    Raises:
        WireFormatError: no whole JPEG, or one of another kind or size; told from its header, before it is decoded.
    """
    height, width, mode = shape[0], shape[1], "RGB" if len(shape) == 3 else "L"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(payload), formats=["JPEG"])
        # Before anything is decoded: a header may claim a picture of any size.
        if image.size != (width, height) or image.mode != mode:
            raise WireFormatError(
                f"wire_format {name}: got a {image.mode} picture of {image.width}x{image.height}; "
                f"allowed: {mode} of {width}x{height}; the payload belongs to another model"
            )
        return np.asarray(image, dtype=np.uint8)
    except NO_PICTURE as error:
        raise WireFormatError(
            f"wire_format {name}: got {memoryview(payload).nbytes} bytes that are no whole JPEG ({error}); "
            "the payload is damaged"
        ) from error


def require_length(payload: Payload, expected: int, shape: Shape, name: str) -> None:
    """Raise WireFormatError where a payload of known size has another."""
    given = memoryview(payload).nbytes
    if given != expected:
        raise WireFormatError(
            f"wire_format {name}: got {given} bytes for shape {list(shape)}; "
            f"allowed: exactly {expected}; the payload is damaged or of another cut"
        )
