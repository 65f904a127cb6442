"""The request's picture: a real photograph, so that an image codec has something real to compress."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.errors import CapabilityError, SpecError


def photograph(input_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """scikit-learn's `china.jpg`, cropped about its centre to the asked aspect and resized (bicubic).

    Args:
        input_shape: (height, width, channels) of the model; channels is 3.

    Returns:
        uint8 RGB [1, height, width, 3], the same on every call.

    Raises:
        SpecError: not three channels.
        CapabilityError: scikit-learn is not installed.
    """
    height, width, channels = input_shape
    if channels != 3:
        raise SpecError(f"model.input_shape: got {channels} channels; allowed: 3, the request is an RGB picture")
    with Image.open(_photograph_file()) as picture:
        fitted = ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, dtype=np.uint8)[np.newaxis]


def _photograph_file() -> Path:
    """The file itself: importing scikit-learn to load it would cost 0.9 s, finding it costs 4 ms."""
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder, "datasets", "images", "china.jpg")
        if file.is_file():
            return file
    raise CapabilityError(
        "the default request input needs scikit-learn's china.jpg, which is not here; run `make venv`"
    )
