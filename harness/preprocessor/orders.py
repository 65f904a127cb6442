"""What the Trainer is asked for, and how one process tells another (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.dnn import zoo
from harness.errors import SpecError
from harness.preprocessor import datasets
from harness.preprocessor.datasets import DataSet
from harness.preprocessor.recipe import Recipe
from harness.results.schema import Key


@dataclass(frozen=True)
class Order:
    """What to train.

    model            the network; weights None: trained on the data set first, with `original`
    data             what it is trained on, and judged by
    key              the candidate: cut, transfer layer, wire format
    recipe           of the retraining, and of the control but for distillation and frozen layers
    original         of the first training
    seed             of the order of pictures and of a learned transfer layer's weights
    original_seed    the same of the first training; a model's random weights have `model.seed`
    cache            folder of all trainings, by content
    recalibration    pictures that batch normalisation is recalibrated on
    control          also train the original on for as long
    deterministic    only operations that give the same result each time
    threads          of TensorFlow
    layer_code       what its outcome also depends on: the code of a user's own transfer layer, by what it is
    """

    model: zoo.ModelSpec
    data: datasets.Order
    key: Key
    recipe: Recipe
    original: Recipe
    seed: int
    original_seed: int
    cache: Path
    recalibration: int
    control: bool
    deterministic: bool
    threads: int
    layer_code: Mapping[str, str] = field(default_factory=dict)


def require_classes(model: zoo.ModelSpec, data: DataSet) -> zoo.ModelSpec:
    """The model with as many classes as the data set has. Raises SpecError where it is to have another number."""
    count = len(data.classes)
    if not model.pretrained and model.classes not in (count, zoo.IMAGENET_CLASSES):
        raise SpecError(
            f"dataset={data.name} has {count} classes, model.classes={model.classes}; allowed: null, or {count}"
        )
    if model.pretrained and model.classes != count:
        raise SpecError(
            f"dataset={data.name} has {count} classes, model.weights={model.weights} of {model.name} {model.classes}; "
            f"give weights of {count} classes with model.classes={count}, or model.weights=null: the model is then "
            "first trained on the data set"
        )
    return replace(model, classes=count)


def order_from(request: Mapping[str, Any]) -> Order:
    """The order that a request describes, see `request_from`."""
    data = request["data"]
    return Order(
        zoo.ModelSpec.of(request["model"]),
        datasets.Order(**{**data, "size": tuple(data["size"])}),
        Key.parse(request["key"]),
        Recipe(**request["recipe"]),
        Recipe(**request["original"]),
        request["seed"],
        request["original_seed"],
        Path(request["cache"]),
        request["recalibration"],
        request["control"],
        request["deterministic"],
        request["threads"],
        request["layer_code"],
    )


def request_from(order: Order) -> dict[str, Any]:
    """The same as JSON."""
    return {**asdict(order), "key": str(order.key), "cache": str(order.cache)}
