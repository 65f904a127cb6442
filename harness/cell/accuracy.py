"""Accuracy through the real path: labelled pictures through device, link and Triton, and the same ones offline.

Asked for by a data set with labels (`dataset=...`) in mode=measure or mode=validate.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.cell import encodings
from harness.cell.forecasting import best_of_own
from harness.cell.profiler import Advance
from harness.errors import SpecError
from harness.preprocessor import datasets
from harness.results.records import SUMMARY, csv_text, read_json, write_atomic, write_json
from harness.results.schema import Key, Row
from harness.spec import Spec
from harness.spec.fields import from_project
from harness.validation.statistics import candidate_name

PREDICTIONS = "predictions.csv"
_COLUMNS = ("image", "label", "predicted", "offline", "agree", "in_top5", "difference", "total_ms")
#: Pictures a call to the agent: some MB of them, and a progress bar that moves.
_CHUNK = 16

#: A picture, uint8 [height, width, 3] as the model takes it, and its class.
LabelledImage = tuple[NDArray[np.uint8], int]


#: The one source of pictures without labels.
_UNLABELLED = "photograph"
#: Reads its pictures with TensorFlow, which a process that starts testbeds must not load.
_NEEDS_TENSORFLOW = "tfds"


class Agent(Protocol):
    """What is needed of an agent's client."""

    def call(self, name: str, timeout_s: float = ..., **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class Classified:
    """One picture after both ways. `classes` and `offline`: the likeliest five, the best first; see `Answer`."""

    label: int
    classes: tuple[int, ...]
    offline: tuple[int, ...]
    difference: float
    total_ms: float

    @property
    def agree(self) -> bool:
        """Whether both ways give the same class."""
        return self.classes[:1] == self.offline[:1]


def asked(spec: Spec) -> bool:
    """Whether the cell sends labelled images."""
    measuring = spec.mode in ("measure", "validate") and not spec.hardware.replayed
    return measuring and spec.dataset.name != _UNLABELLED and spec.measure.images > 0


def check(spec: Spec) -> None:
    """Find what is wrong before anything is started.

    Raises:
        SpecError: the data set cannot be read here.
        CapabilityError: it is not installed.
    """
    if not asked(spec):
        return
    if spec.dataset.name == _NEEDS_TENSORFLOW:
        raise SpecError(
            "dataset=tfds: its pictures are read with TensorFlow, which the process that starts the testbed must not "
            "load; allowed in mode=measure and mode=validate: the other data sets, or measure.images=0"
        )
    datasets.check(_order(spec))


def over_the_link(
    spec: Spec, agent: Agent, rows: Sequence[Row], folder: Path, advance: Advance, key: Key | None = None
) -> dict[str, Any] | None:
    """Send test images, of every class its share; `predictions.csv` and what `summary.json` says of them.

    Args:
        rows: with forecasts: where neither `key` nor the spec's `split` says which candidate, the best split.

    Returns:
        None where nothing is asked for, or no split is feasible.

    Raises:
        SpecError: the data set has fewer test images.
        DeviceError, EdgeError: a tier failed.
    """
    if not asked(spec):
        return None
    key = key or _candidate(spec, rows)
    if key is None:
        return None
    pictures = datasets.load(_order(spec)).test
    results = classify(agent, key, pictures.pairs(), len(pictures), advance)
    write_predictions(folder, results)
    return record(key, spec.dataset.name, results)


def add(folder: Path, found: dict[str, Any] | None) -> None:
    """Put what was found into the cell's summary, and say it."""
    if found is not None:
        write_json(folder / SUMMARY, {**read_json(folder / SUMMARY), "accuracy": found})
        print(line(found), flush=True)


def _candidate(spec: Spec, rows: Sequence[Row]) -> Key | None:
    return encodings.own(spec).key(spec.split) if spec.split is not None else best_of_own(rows, spec)


def _order(spec: Spec) -> datasets.Order:
    """The images that are sent: of every class its share, always the same ones."""
    data, (height, width, _) = spec.dataset, spec.model.input_shape
    count = spec.measure.images if data.max_test is None else min(spec.measure.images, data.max_test)
    path = None if data.path is None else str(from_project(data.path))
    return datasets.Order(data.name, (height, width), path, data.builder, data.validation, None, count)


def classify(agent: Agent, key: Key, images: Iterable[LabelledImage], count: int, advance: Advance) -> list[Classified]:
    """Send `count` labelled pictures through a candidate, one after the other.

    Raises:
        SpecError: there are fewer.
        DeviceError, EdgeError: a tier failed.
    """
    found: list[Classified] = []
    remaining = itertools.islice(iter(images), count)
    while chunk := list(itertools.islice(remaining, _CHUNK)):
        pictures = [np.ascontiguousarray(picture, dtype=np.uint8) for picture, _ in chunk]
        answers = agent.call(
            "classify",
            candidate=str(key),
            shape=list(pictures[0].shape),
            pictures=[base64.b64encode(picture.tobytes()).decode() for picture in pictures],
        )
        found += [
            Classified(int(label), tuple(each["classes"]), tuple(each["offline"]), each["difference"], each["total_ms"])
            for (_, label), each in zip(chunk, answers, strict=True)
        ]
        advance("classifying labelled images", len(found) / count)
    if len(found) < count:
        raise SpecError(f"measure.images={count}: the data set has only {len(found)} test images; allowed: up to that")
    return found


def record(key: Key, dataset: str, results: Sequence[Classified]) -> dict[str, Any]:
    """The part of `summary.json` about accuracy: shares of the images, and where the two ways differ."""
    count = len(results)
    return {
        "dataset": dataset,
        "images": count,
        "candidate": str(key),
        "top1": sum(each.classes[0] == each.label for each in results) / count,
        "top5": sum(each.label in each.classes for each in results) / count,
        "offline_top1": sum(each.offline[0] == each.label for each in results) / count,
        "agreeing": sum(each.agree for each in results),
        "disagreeing_images": [number for number, each in enumerate(results) if not each.agree],
        "max_score_difference": max(each.difference for each in results),
        "unpaced_total_ms": median(each.total_ms for each in results),
    }


def write_predictions(folder: Path, results: Sequence[Classified]) -> None:
    """`predictions.csv`, one line an image."""
    rows = (
        {
            "image": number,
            "label": each.label,
            "predicted": each.classes[0],
            "offline": each.offline[0],
            "agree": each.agree,
            "in_top5": each.label in each.classes,
            "difference": each.difference,
            "total_ms": each.total_ms,
        }
        for number, each in enumerate(results)
    )
    write_atomic(folder / PREDICTIONS, csv_text(_COLUMNS, rows))


def line(found: dict[str, Any]) -> str:
    """The record in one line for the console."""
    count, agreeing = found["images"], found["agreeing"]
    same = "offline they come out the same" if agreeing == count else f"offline {count - agreeing} come out otherwise"
    return (
        f"Accuracy over the link, {candidate_name(Key.parse(found['candidate']))}: top-1 {found['top1']:.1%}, "
        f"top-5 {found['top5']:.1%} of {count} test images of {found['dataset']}; {same}"
    )
