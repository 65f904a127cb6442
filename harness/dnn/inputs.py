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
    with Image.open(_photograph_files()[0]) as picture:
        fitted = ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, dtype=np.uint8)[np.newaxis]


def crops(
    input_shape: tuple[int, int, int], count: int, *, seed: int, part: tuple[float, float] = (0.0, 1.0)
) -> NDArray[np.uint8]:
    """Random crops of scikit-learn's two photographs (a temple, a flower), in turn, some of them mirrored.

    Args:
        input_shape: (height, width, channels) of the model; channels is 3.
        count: how many.
        part: of a photograph's width that they are cut from, from and to, as shares of it.

    Returns:
        uint8 RGB [count, height, width, 3], the same for the same arguments.

    Raises:
        SpecError: not three channels.
        CapabilityError: scikit-learn is not installed.
    """
    height, width, channels = input_shape
    if channels != 3:
        raise SpecError(f"model.input_shape: got {channels} channels; allowed: 3, the request is an RGB picture")
    photographs = []
    for file in _photograph_files():
        with Image.open(file) as picture:
            left, right = (round(share * picture.width) for share in part)
            photographs.append(picture.convert("RGB").crop((left, 0, right, picture.height)))
    generator = np.random.default_rng(seed)
    found = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        largest = min(photograph.width / width, photograph.height / height)
        scale = largest * generator.uniform(0.25, 1.0)
        x = generator.uniform(0, photograph.width - scale * width)
        y = generator.uniform(0, photograph.height - scale * height)
        box = (x, y, x + scale * width, y + scale * height)
        crop = np.asarray(photograph.resize((width, height), Image.Resampling.BICUBIC, box))
        found[number] = crop[:, ::-1] if generator.random() < 0.5 else crop
    return found


def _photograph_files() -> list[Path]:
    """The files themselves: importing scikit-learn to load them would cost 0.9 s, finding them costs 4 ms."""
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        files = [Path(folder, "datasets", "images", name) for name in ("china.jpg", "flower.jpg")]
        if all(file.is_file() for file in files):
            return files
    raise CapabilityError(
        "the default request input needs scikit-learn's china.jpg and flower.jpg, which are not here; run `make venv`"
    )
