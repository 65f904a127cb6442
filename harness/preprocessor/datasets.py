"""Data sets as the Trainer and the validation of accuracy take them: three parts that never change.

The test part is the data set's own (for ImageNet's layout its `val`, as in the paper's Table 2), or where it has none
a fifth of each class. The validation part, from which everything is chosen, comes out of the training part. Neither
depends on a seed of the experiment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.errors import SpecError
from harness.preprocessor import sources
from harness.preprocessor.images import Images, Some, first_of_each, stratified

#: Of the splits; no experiment's seed reaches them.
SPLIT_SEED = 20_210_509
#: Share of each class that is kept for the test where a data set has no such part.
TEST_SHARE = 0.2
#: Counts up whenever the same order would give other parts.
SPLIT_VERSION = 1


@dataclass(frozen=True)
class Order:
    """Which data set, and how much of it.

    name        of `sources.LOADERS`
    size        (height, width) that pictures are brought to
    path        its folder or file, None: where its package puts it
    builder     of TensorFlow Datasets
    validation  share of each class of the training part that is kept out for validation
    max_train   pictures trained on, None: all; each class keeps its share
    max_test    pictures tested on, likewise
    """

    name: str
    size: tuple[int, int]
    path: str | None = None
    builder: str | None = None
    validation: float = 0.1
    max_train: int | None = None
    max_test: int | None = None


@dataclass(frozen=True)
class DataSet:
    """The parts of a data set; classes are named by label."""

    name: str
    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]
    fingerprint: dict[str, Any]
    licence: str = ""


def names() -> tuple[str, ...]:
    """All data sets with labels."""
    return tuple(sources.LOADERS)


def check(order: Order) -> None:
    """Find cheaply what keeps a data set from being loaded. Raises as `load` does."""
    if order.name not in sources.LOADERS:
        raise SpecError(
            f"dataset={order.name} has no labels, nothing can be learned from it; allowed: {', '.join(names())}"
        )
    sources.find(order.name, _request(order))


def load(order: Order) -> DataSet:
    """The data set in its three parts.

    Raises:
        SpecError: there are no such files, they are not what they should be, or a part would be empty.
        CapabilityError: the package that holds the data set is not installed.
    """
    check(order)
    source = sources.load(order.name, _request(order))
    train, test = source.train, source.test
    for part, pictures in (("train", train), ("test", test)):
        _require_labels(order, part, pictures, len(source.classes))
    if test is None:
        rest, kept = stratified(train.labels, TEST_SHARE, SPLIT_SEED)
        train, test = Some(train, rest), Some(train, kept)
    rest, kept = stratified(train.labels, order.validation, SPLIT_SEED + 1)
    if len(rest) == 0:
        raise SpecError(f"dataset={order.name}: {len(train)} pictures are too few to keep some for validation")
    validation, train = Some(train, kept), Some(train, rest)
    if order.max_train is not None:
        train = Some(train, first_of_each(train.labels, order.max_train, SPLIT_SEED + 2))
    if order.max_test is not None:
        test = Some(test, first_of_each(test.labels, order.max_test, SPLIT_SEED + 3))
    # Where the files lie does not matter, what is in them does, as far as `content` tells.
    asked = {key: value for key, value in asdict(order).items() if key != "path"}
    fingerprint = {**asked, "content": source.fingerprint, "split_version": SPLIT_VERSION}
    return DataSet(order.name, train, validation, test, source.classes, fingerprint, source.licence)


def _require_labels(order: Order, part: str, pictures: Images | None, classes: int) -> None:
    """Raise SpecError where a picture is of none of the classes: a test part without labels has -1 everywhere."""
    labels = pictures.labels if pictures is not None else np.zeros(0, np.int64)
    odd = labels[(labels < 0) | (labels >= classes)]
    if len(odd):
        raise SpecError(
            f"dataset={order.name}: {len(odd)} pictures of its {part} part have labels such as {odd[0]}; allowed: "
            f"0 to {classes - 1}, as it has {classes} classes"
        )


def _request(order: Order) -> sources.Request:
    return sources.Request(order.path, order.size, order.builder)
