"""The Trainer (paper, section 3.4): from a network and a data set to a TLModel that keeps its accuracy.

    python -m harness.preprocessor.trainer < order.json

runs `train` in a process of its own; see `main`. Importing this module does not import TensorFlow; only the calls do.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness.dnn import zoo
from harness.preprocessor import checkpoints, datasets, normalisation
from harness.preprocessor.datasets import DataSet
from harness.preprocessor.distillation import Teacher
from harness.preprocessor.evaluation import Answers, Evaluator
from harness.preprocessor.fitting import CHECKPOINT, Fit
from harness.preprocessor.inserter import insert, place
from harness.preprocessor.orders import Order, order_from, require_classes
from harness.preprocessor.recipe import History, Recipe
from harness.results import accuracy
from harness.results.accuracy import Row
from harness.transfer import layers, wire

Advance = Callable[[str, float], None]
#: What a finished training leaves in its folder.
FINISHED = "finished.npz"
WEIGHTS, ANSWERS = "model.weights.h5", "answers.npz"
#: Counts up whenever the same order would train another network.
TRAINING_VERSION = 1


def train(order: Order, folder: Path, advance: Advance = lambda _what, _share: None) -> dict[str, Any]:
    """Train, judge every stage on the test part, and write the records and the TLModel into `folder`.

    Every training is kept in `order.cache` with its checkpoints: a run that was cut short goes on from there, and one
    that differs in the transfer layer alone shares original and control.

    Args:
        advance: told (what is being done, share of it done).

    Returns:
        What `accuracy.json` says, without the history.

    Raises:
        SpecError: no such data set or cut; weights of another model, or of another number of classes.
        CapabilityError: the data set is not installed.
        HarnessError: the training diverged, the disk is full.
    """
    _prepare(order)
    advance("reading the data set", 0.0)
    data = datasets.load(order.data)
    model = require_classes(order.model, data)
    advance("reading the data set", 1.0)
    return _Training(replace(order, model=model), data, folder, advance).run()


class _Training:
    """One order on its way."""

    def __init__(self, order: Order, data: DataSet, folder: Path, advance: Advance) -> None:
        self._order, self._data, self._folder, self._advance = order, data, folder, advance
        self._rows: list[Row] = []
        self._history: History = []
        self._answers: dict[str, Answers] = {}
        self._facts: dict[str, Any] = {}
        self._evaluators: dict[int, tuple[Any, Evaluator]] = {}

    def run(self) -> dict[str, Any]:
        import keras

        order = self._order
        model = zoo.build(order.model)
        layer = layers.get(order.key.transfer_layer, seed=order.seed)
        cut = place(model, order.key.split or 0, layer)  # refused before hours are spent on the original
        self._facts |= {"layer": cut.layer, "payload_shape": list(layer.payload_shape(cut.shape))}
        content = self._original(model)
        if order.control:
            self._control(model, content)
        keras.utils.set_random_seed(order.seed)  # of dropout in the copies
        tl_model = insert(model, cut.index, layer, wire.get(order.key.wire_format))
        self._judge("tl_before", tl_model)
        self._recalibrate(tl_model, cut.index)
        frozen = tl_model.layers[: cut.index + 1] if order.recipe.frozen_head else []
        teacher = Teacher(model, len(self._data.train)) if order.recipe.distillation else None
        of = {"original": content, "key": str(order.key), "seed": order.seed, "recalibration": order.recalibration}
        of |= order.layer_code
        epochs, _ = self._fit("tl_model", of, tl_model, order.recipe, order.seed, frozen, teacher)
        self._judge("tl_retrained", tl_model, epochs)
        self._keep(tl_model)
        return self._record()

    # -- the stages -------------------------------------------------------------------------------------

    def _original(self, model: Any) -> str:
        """Train the model without a transfer layer unless it has weights; what decides them."""
        order = self._order
        content, epochs, folder = zoo.content_key(order.model), 0.0, None
        if not order.model.pretrained:
            of = {"model": content, "seed": order.original_seed}
            content = self._content("original", of, order.original)
            epochs, folder = self._fit("original", of, model, order.original, order.original_seed)
            self._facts["original_weights"] = self._weights_file(folder, model)
        self._judge("original", model, epochs, folder)
        return content

    def _control(self, model: Any, content: str) -> None:
        """The original trained on for as long, by the labels alone and all of it."""
        import keras

        order = self._order
        keras.utils.set_random_seed(order.seed)
        control = keras.models.clone_model(model)
        control.set_weights(model.get_weights())
        recipe = replace(order.recipe, distillation=0.0, temperature=1.0, frozen_head=False)
        of = {"original": content, "seed": order.seed}
        epochs, folder = self._fit("control", of, control, recipe, order.seed)
        self._judge("control", control, epochs, folder)

    def _recalibrate(self, tl_model: Any, cut_index: int) -> None:
        order, what = self._order, "recalibrating batch normalisation"
        normalisation.recalibrate(
            tl_model, cut_index, order.model, self._data.train, order.recalibration, self._told(what)
        )
        self._judge("tl_recalibrated", tl_model)

    def _judge(self, stage: str, model: Any, epochs: float = 0.0, folder: Path | None = None) -> None:
        """Ask a model about test and validation part, unless `folder` has its answers; write down all known so far."""
        told = self._told(f"testing {stage}")
        if folder is None:
            answers, validation = self._answers_of(model, told)
        else:
            with self._alone(folder):
                kept = checkpoints.read(folder / ANSWERS)
                if kept is not None:
                    answers, validation = Answers(*kept[0]["answers"]), kept[1]["validation_top1"]
                    told(1.0)
                else:
                    answers, validation = self._answers_of(model, told)
                    arrays = [answers.predicted, answers.among_top, answers.labels]
                    checkpoints.write(folder / ANSWERS, {"answers": arrays}, {"validation_top1": validation})
        self._answers[stage] = answers
        self._rows.append(Row(stage, answers.top1, answers.top5, len(answers.labels), validation, epochs))
        self._rows = self._with_drops()
        accuracy.write(self._folder, self._record(), self._rows, self._history)

    def _answers_of(self, model: Any, told: Callable[[float], None]) -> tuple[Answers, float]:
        """What a model answers to the test part, and its top-1 on the validation part."""
        return self._evaluator(model)(self._data.test, told), self._evaluator(model)(self._data.validation).top1

    def _evaluator(self, model: Any) -> Evaluator:
        """One a model: to compile a large one anew takes longer than to ask it."""
        return self._evaluators.setdefault(id(model), (model, Evaluator(model, self._order.model)))[1]

    def _with_drops(self) -> list[Row]:
        """The rows, each against the better of original and control."""
        rivals = [stage for stage in ("original", "control") if stage in self._answers]
        best = max(rivals, key=lambda stage: self._answers[stage].top1)
        self._facts["reference"] = best
        reference, rows = self._answers[best].correct.tolist(), []
        for row in self._rows:
            drop, low, high = accuracy.paired_drop(reference, self._answers[row.stage].correct.tolist())
            rows.append(replace(row, drop_points=drop, drop_low_points=low, drop_high_points=high))
        return rows

    # -- trainings, kept by content ---------------------------------------------------------------------

    def _fit(
        self,
        kind: str,
        of: Mapping[str, Any],
        model: Any,
        recipe: Recipe,
        seed: int,
        frozen: list[Any] | None = None,
        teacher: Teacher | None = None,
    ) -> tuple[float, Path]:
        """Train `model` unless the cache holds the outcome; the epochs that it took, and the training's folder."""
        what = {"original": "training the original", "control": "training the control"}.get(kind, "retraining")
        folder = self._order.cache / self._content(kind, of, recipe)
        told = self._told(what)
        with self._alone(folder):
            found = checkpoints.read(folder / FINISHED)
            if found is None:
                fit = Fit(
                    *(model, self._order.model, recipe, self._data.train, self._data.validation),
                    evaluate=self._evaluator(model),
                    seed=seed,
                    folder=folder,
                    frozen=frozen,
                    teacher=teacher,
                )
                history = fit.run(told)
                arrays = [np.asarray(variable) for variable in model.variables]
                checkpoints.write(folder / FINISHED, {"model": arrays}, {"history": history})
                (folder / CHECKPOINT).unlink(missing_ok=True)
            else:
                history = found[1]["history"]
                for variable, array in zip(model.variables, found[0]["model"], strict=True):
                    variable.assign(array)
                told(1.0)
        self._history += [{"stage": kind, **record} for record in history]
        return (float(history[-1]["epoch"]) if history else 0.0), folder

    def _content(self, kind: str, of: Mapping[str, Any], recipe: Recipe) -> str:
        """The name of a training's folder: equal names mean equal outcomes."""
        order = self._order
        whole = {**of, "recipe": asdict(recipe), "data": self._data.fingerprint, "version": TRAINING_VERSION}
        whole |= {"preprocessing": order.model.preprocessing, "deterministic": order.deterministic}
        whole |= {package: version(package) for package in ("tensorflow", "keras")}
        return f"{kind}-{checkpoints.key(whole)}"

    def _alone(self, folder: Path) -> AbstractContextManager[None]:
        """A training's folder, for this process alone; cells of one sweep share trainings, and may run together."""
        return checkpoints.alone(folder, lambda: self._advance("waiting for another run of the same training", 0.0))

    def _weights_file(self, folder: Path, model: Any) -> str:
        """The original's weights as `model.weights` takes them; written once."""
        path = folder / WEIGHTS
        with self._alone(folder):
            if not path.exists():
                checkpoints.write_saved(path, model.save_weights)
        return str(path)

    # -- records ----------------------------------------------------------------------------------------

    def _keep(self, tl_model: Any) -> None:
        checkpoints.write_saved(self._folder / accuracy.TL_MODEL, tl_model.save)
        buffer = io.BytesIO()
        labels = next(iter(self._answers.values())).labels
        np.savez_compressed(
            buffer, labels=labels, **{stage: answers.predicted for stage, answers in self._answers.items()}
        )
        checkpoints.write_bytes(self._folder / accuracy.PREDICTIONS, buffer.getvalue())

    def _record(self) -> dict[str, Any]:
        order, data = self._order, self._data
        return {
            "model": order.model.name,
            "input_shape": list(order.model.input_shape),
            "classes": list(data.classes),
            "weights": order.model.weights,
            "dataset": data.name,
            "licence": data.licence or None,
            "images": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
            "split": order.key.split,
            "transfer_layer": order.key.transfer_layer,
            "wire_format": order.key.wire_format,
            "seed": order.seed,
            "original_seed": order.original_seed,
            "recipe": asdict(order.recipe),
            "original_recipe": asdict(order.original) if not order.model.pretrained else None,
            "device": _device(),
            **self._facts,
            "rows": [asdict(row) for row in self._rows],
        }

    def _told(self, what: str) -> Callable[[float], None]:
        self._advance(what, 0.0)
        return lambda share: self._advance(what, share)


def _prepare(order: Order) -> None:
    """Threads and determinism: before TensorFlow computes anything."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(order.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if order.deterministic:
        tf.config.experimental.enable_op_determinism()


def _device() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {tf.config.threading.get_intra_op_parallelism_threads()} threads"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def main() -> None:
    """Read {folder, order} as JSON from standard input and train."""
    from harness.preprocessor import worker

    def work(request: dict[str, Any], advance: Advance) -> dict[str, Any]:
        return train(order_from(request["order"]), Path(request["folder"]), advance)

    worker.serve(work)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
