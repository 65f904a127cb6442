"""mode=train: the Trainer for a cell, in a process of its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cell import deploying, encodings, workers
from harness.dnn import zoo
from harness.errors import SpecError
from harness.preprocessor import datasets
from harness.preprocessor.orders import Order, request_from
from harness.preprocessor.recipe import Recipe
from harness.report.progress import Steps
from harness.results.accuracy import Row, find
from harness.results.labels import parse_label
from harness.results.records import ENVIRONMENT, SUMMARY, write_json
from harness.results.schema import Key
from harness.spec import Spec
from harness.spec.fields import from_project
from harness.spec.training import Descent
from harness.testbed import host
from harness.transfer import wire

#: What the console calls each stage.
TITLES = {
    "original": "original",
    "control": "original, trained on for as long",
    "tl_before": "TLModel before retraining",
    "tl_recalibrated": "batch normalisation recalibrated",
    "tl_retrained": "retrained",
}


def check(spec: Spec) -> None:
    """Find what is wrong before anything is started.

    Raises:
        SpecError: a wrong transfer layer, wire format or weights file, a data set without labels or that is not where
            the spec says; no cut is given and no profile predicts the best one.
        CapabilityError: the data set is not installed.
    """
    order = order_of(spec)
    datasets.check(order.data)
    zoo.content_key(order.model)


def run(spec: Spec, folder: Path) -> None:
    """Train and show what came out. Raises as `harness.preprocessor.trainer.train` does."""
    order = order_of(spec)
    if order.data.name == "elpv":
        print("dataset=elpv is licensed CC BY-NC-SA 4.0: not for commercial use", flush=True)
    request = {"folder": str(folder.absolute()), "order": request_from(order)}
    write_json(folder / ENVIRONMENT, host.describe())
    with Steps() as steps:
        made = workers.run("harness.preprocessor.trainer", request, log=folder / "logs" / "trainer.log", advance=steps)
    write_json(folder / SUMMARY, {"verdict": None, "accuracy": made})
    print("\n".join(lines(made, folder, deploying.named(spec))), flush=True)


def order_of(spec: Spec) -> Order:
    """What the Trainer is asked for. Raises SpecError as `check` does."""
    train, data = spec.train, spec.dataset
    size = (data.size, data.size) if data.size is not None else spec.model.input_shape[:2]
    first = spec.seed if train.original.seed is None else train.original.seed
    model = zoo.from_config({**spec.model.model_dump(), **spec.model.located, "seed": first, "input_shape": [*size, 3]})
    return Order(
        model=model,
        data=datasets.Order(
            data.name, size, _absolute(data.path), data.builder, data.validation, data.max_train, data.max_test
        ),
        key=candidate(spec),
        recipe=Recipe(
            **_descent(train),
            bn_momentum=train.bn_momentum,
            frozen_head=train.head == "frozen",
            distillation=train.distillation.weight,
            temperature=train.distillation.temperature,
        ),
        original=Recipe(**_descent(train.original), bn_momentum=train.bn_momentum),
        seed=spec.seed,
        original_seed=first,
        cache=from_project(train.dir),
        recalibration=train.recalibration,
        control=train.control,
        deterministic=train.deterministic,
        threads=train.threads,
        layer_code=encodings.own_code(spec),
    )


def candidate(spec: Spec) -> Key:
    """What is trained. Raises SpecError: see `check`."""
    found = wire.get(spec.wire_format.text)
    if found.label.partition("+")[2].startswith("jpeg"):
        raise SpecError(
            "wire_format.entropy=jpeg: what JPEG loses has no gradient and is not trained for; allowed in mode=train: "
            "none, zlib, zstd (which lose nothing); deploy the TLModel of uint8 with jpeg, and measure its accuracy"
        )
    split = spec.split if spec.split is not None else deploying.candidate(spec).split
    return Key("split", split, encodings.layer_of(spec).label, found.label)


def lines(made: dict[str, Any], folder: Path, named: Sequence[str] = ()) -> list[str]:
    """The outcome for the console.

    Args:
        named: the arguments that name the network; none: it is one of the zoo.
    """
    rows = [Row(**row) for row in made["rows"]]
    images = made["images"]
    shown = [
        f"Accuracy of {made['model']}, cut {made['split']} ({made['layer']}), {made['transfer_layer']} in "
        f"{made['wire_format']}: {made['dataset']}, {images['train']} pictures trained on, {images['test']} tested"
    ]
    for row in rows:
        drop = ""
        if row.stage != made["reference"] and row.drop_points is not None:
            drop = f"   drop {row.drop_points:+.2f} points [{row.drop_low_points:+.2f}, {row.drop_high_points:+.2f}]"
        shown.append(f"  {TITLES[row.stage]:<34} top-1 {row.top1:7.2%}   top-5 {row.top5:7.2%}{drop}")
    if find(rows, "tl_retrained") is not None:
        shown.append("Deploy it: " + _deploying(made, folder, named or [f"model={made['model']}"]))
    return shown


def _deploying(made: dict[str, Any], folder: Path, named: Sequence[str]) -> str:
    """The command that deploys what was trained: the same candidate."""
    layer, pooled = parse_label(made["transfer_layer"])
    stage, encoded = parse_label(deploying.numeric_stage(made["wire_format"]))
    return shlex.join(
        [
            *("python", "run.py", "mode=deploy", *named),
            f"model.input_shape={made['input_shape']}".replace(" ", ""),
            *(f"split={made['split']}", f"transfer_layer={layer}"),
            *(f"transfer_layer.{name}={value}" for name, value in pooled.items()),
            f"wire_format={stage}",
            *(f"wire_format.{name}={value}" for name, value in encoded.items()),
            f"deploy.trained={folder}",
        ]
    )


def _descent(part: Descent) -> dict[str, Any]:
    return {name: getattr(part, name) for name in Descent.model_fields}


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(from_project(path))
