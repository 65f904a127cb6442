"""Labelled pictures, however they are kept: in memory, in files, or some of those of another collection."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.errors import SpecError
from harness.transfer.payload import NO_PICTURE

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int32]
Indices = NDArray[np.intp]

#: Share of a photograph's shorter side that evaluation on ImageNet keeps (224 of 256 pixels, He et al. 2016).
CENTRAL_SHARE = 0.875
_READERS = min(4, os.cpu_count() or 1)


class Images(ABC):
    """Pictures with labels.

    labels  int32 [images]: the class of each, from 0
    """

    labels: Labels

    @abstractmethod
    def take(self, indices: Indices) -> Pictures:
        """The pictures of these indices, uint8 RGB [images, height, width, 3]. Raises SpecError for a broken file."""

    def __len__(self) -> int:
        return len(self.labels)

    def pairs(self) -> Iterator[tuple[Pictures, int]]:
        """Each picture, uint8 RGB [height, width, 3], with its label, one after the other."""
        for index, label in enumerate(self.labels):
            yield self.take(np.array([index]))[0], int(label)


@dataclass(frozen=True)
class Stored(Images):
    """In memory.

    pictures  uint8 [images, height, width, channels], channels 1 (grey, handed out as RGB) or 3
    """

    pictures: Pictures
    labels: Labels

    def take(self, indices: Indices) -> Pictures:
        taken = self.pictures[indices]
        return taken if taken.shape[-1] == 3 else np.repeat(taken, 3, axis=-1)


@dataclass(frozen=True)
class Files(Images):
    """In files that Pillow reads, one a picture; read anew each time.

    size     (height, width) that they are brought to
    central  share of the shorter side that is kept; the rest, and what is too long, is cropped
    """

    paths: tuple[Path, ...]
    labels: Labels
    size: tuple[int, int]
    central: float = CENTRAL_SHARE

    def take(self, indices: Indices) -> Pictures:
        with ThreadPoolExecutor(_READERS) as pool:  # decoding leaves the interpreter's lock alone
            return np.stack(list(pool.map(self._read, [self.paths[index] for index in indices])))

    def _read(self, path: Path) -> Pictures:
        try:
            with Image.open(path) as picture:
                return resized(picture, self.size, self.central)
        except NO_PICTURE as error:
            raise SpecError(f"{path} is no picture that Pillow can read ({error}); mend or remove it") from error


@dataclass(frozen=True)
class Some(Images):
    """Some of the pictures of another collection, in the order of `indices`."""

    whole: Images
    indices: Indices

    @property
    def labels(self) -> Labels:  # type: ignore[override]
        return self.whole.labels[self.indices]

    def take(self, indices: Indices) -> Pictures:
        return self.whole.take(self.indices[indices])


def resized(picture: Image.Image, size: tuple[int, int], central: float = 1.0) -> Pictures:
    """RGB of `size` (height, width), cropped about the centre to its aspect and `central` share, bicubic.

    Returns uint8 [height, width, 3].
    """
    height, width = size
    border = (1 - central) / 2
    fitted = ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.BICUBIC, bleed=border)
    return np.asarray(fitted, dtype=np.uint8)


def grey_resized(pictures: Pictures, size: tuple[int, int]) -> Pictures:
    """uint8 [images, h, w] as uint8 [images, height, width, 1], bicubic."""
    height, width = size
    if pictures.shape[1:] == size:
        return pictures[..., np.newaxis]
    out = np.empty((len(pictures), height, width, 1), np.uint8)
    for index, picture in enumerate(pictures):
        out[index, ..., 0] = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    return out


def stratified(labels: Labels, share: float, seed: int) -> tuple[Indices, Indices]:
    """Indices of the rest and of a `share` of each class (rounded, at least one of each), both ascending.

    Depends on labels, share and seed alone.
    """
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(1, round(share * len(members)))])
    taken = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), taken), taken


def first_of_each(labels: Labels, count: int, seed: int) -> Indices:
    """Ascending indices of `count` of the pictures, each class with its share; all where there are no more."""
    if count >= len(labels):
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    # Within each class by the random order, then the classes in proportion: rank / size of class.
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(rank, kind="stable")[:count])


def as_labels(values: Sequence[int] | NDArray[np.generic]) -> Labels:
    """Class numbers as `Images.labels` has them."""
    return np.asarray(values).astype(np.int32)
