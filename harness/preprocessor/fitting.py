"""One training: a network, a recipe and pictures, from start to end, over as many processes as it takes.

Importing this module does not import TensorFlow; only the calls do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import zoo
from harness.errors import HarnessError
from harness.preprocessor import checkpoints, normalisation
from harness.preprocessor.distillation import Teacher
from harness.preprocessor.evaluation import Evaluator
from harness.preprocessor.images import Images, Indices
from harness.preprocessor.learning import LearningStep
from harness.preprocessor.recipe import History, Plan, Recipe

#: A checkpoint's file in the training's folder.
CHECKPOINT = "checkpoint.npz"
#: How often one is written beside the end of an epoch: what a kill costs at most.
CHECKPOINT_S = 60.0

#: What of `Progress` is no array.
_PLAIN = ("step", "history", "best", "waited", "losses")

Advance = Callable[[float], None]


@dataclass
class Progress:
    """How far a training is.

    step       the next one, from 0
    history    a record an epoch
    best       top-1 of the best epoch on the validation part, with patience
    waited     epochs since then
    best_kept  its variables
    losses     of the steps of the epoch that is not over
    """

    step: int = 0
    history: History = field(default_factory=list)
    best: float = -1.0
    waited: int = 0
    best_kept: checkpoints.Arrays = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class Fit:
    """Trains a model in place.

    Equal arguments give equal weights, however often the training was cut short and taken up again.

    Args:
        model: functional Keras model, [batch, height, width, channels] to softmax scores [batch, classes].
        spec: how pictures become its input.
        recipe: how it is trained.
        train, validation: what it is trained on, and what each epoch is judged by.
        seed: of the order of pictures.
        evaluate: asks `model`.
        folder: of the training's checkpoints, see `checkpoints`.
        frozen: layers that learn nothing.
        teacher: gives targets beside the labels; None: labels alone.
    """

    def __init__(
        self,
        model: Any,
        spec: zoo.ModelSpec,
        recipe: Recipe,
        train: Images,
        validation: Images,
        *,
        evaluate: Evaluator,
        seed: int,
        folder: Path,
        frozen: list[Any] | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self._model, self._spec, self._recipe = model, spec, recipe
        self._train, self._labels, self._validation = train, train.labels, validation
        self._seed, self._folder = seed, folder
        self._frozen = frozen or []
        self._teacher = teacher
        self._plan: Plan = recipe.plan(len(train))
        self._evaluate = evaluate
        self._progress = Progress()

    def run(self, advance: Advance) -> History:
        """Train to the end; a record an epoch.

        Raises:
            HarnessError: the loss is no longer a number, or a checkpoint cannot be written or read.
        """
        import keras

        keras.utils.set_random_seed(self._seed)
        with (
            normalisation.memory(normalisation.layers_of(self._model), self._recipe.bn_momentum),
            normalisation.frozen(self._frozen),
        ):
            self._step = LearningStep(self._model, self._recipe)
            self._resume()
            self._train_on(advance)
        if self._progress.best_kept:
            self._set(self._model.variables, self._progress.best_kept)
        return self._progress.history

    def _train_on(self, advance: Advance) -> None:
        at, plan = self._progress, self._plan
        saved = begun = time.monotonic()
        begun_at = at.step
        for indices, x in self._batches(at.step):
            rate = self._recipe.rate(at.step, plan.steps)
            soft = self._teacher(indices, x) if self._teacher else None
            at.losses.append(self._step(x, self._labels[indices], soft, rate))
            at.step += 1
            if not np.isfinite(at.losses[-1]):
                raise HarnessError(
                    f"the loss is {at.losses[-1]} after {at.step} steps: the training diverged; lower its "
                    f"learning_rate ({self._recipe.learning_rate:g}) or momentum ({self._recipe.momentum:g})"
                )
            ended = at.step % plan.per_epoch == 0 or at.step == plan.steps
            if ended:
                self._end_epoch(rate, (time.monotonic() - begun) / (at.step - begun_at))
                begun, begun_at = time.monotonic(), at.step
            if ended or time.monotonic() - saved > CHECKPOINT_S:
                self._save()
                saved = time.monotonic()
            advance(at.step / plan.steps)
            if self._recipe.patience is not None and at.waited > self._recipe.patience:
                return

    def _batches(self, step: int) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
        """Indices and network input of each step from `step` on; the next is made ready while one is used."""

        def ready(number: int) -> tuple[Indices, NDArray[np.float32]]:
            indices = self._indices(number)
            return indices, zoo.preprocess(self._spec, self._train.take(indices))

        with ThreadPoolExecutor(1) as pool:
            upcoming = pool.submit(ready, step) if step < self._plan.steps else None
            while upcoming is not None:
                now = upcoming.result()
                step += 1
                upcoming = pool.submit(ready, step) if step < self._plan.steps else None
                yield now

    def _indices(self, step: int) -> Indices:
        """Of the pictures of a step: each epoch has an order of its own, which depends on the seed alone."""
        epoch, place = divmod(step, self._plan.per_epoch)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._labels))
        return order[place * self._plan.batch : (place + 1) * self._plan.batch]

    def _end_epoch(self, rate: float, seconds_per_step: float) -> None:
        answers = self._evaluate(self._validation)
        at = self._progress
        at.history.append(
            {
                "epoch": at.step / self._plan.per_epoch,
                "step": at.step,
                "learning_rate": rate,
                "loss": float(np.mean(at.losses)),
                "validation_top1": answers.top1,
                "validation_top5": answers.top5,
                "seconds_per_step": seconds_per_step,
            }
        )
        at.losses = []
        if self._recipe.patience is None:
            return
        if answers.top1 > at.best:
            at.best, at.waited = answers.top1, 0
            at.best_kept = [np.asarray(variable) for variable in self._model.variables]
        else:
            at.waited += 1

    # -- checkpoints ------------------------------------------------------------------------------------

    def _save(self) -> None:
        at = self._progress
        groups = {
            "model": [np.asarray(variable) for variable in self._model.variables],
            "optimizer": [np.asarray(variable) for variable in self._step.variables],
            "best": at.best_kept,
        }
        meta = {name: getattr(at, name) for name in _PLAIN}
        checkpoints.write(self._folder / CHECKPOINT, groups, meta)

    def _resume(self) -> None:
        found = checkpoints.read(self._folder / CHECKPOINT)
        if found is None:
            return
        groups, meta = found
        try:
            self._set(self._model.variables, groups.get("model", []))
            self._set(self._step.variables, groups.get("optimizer", []))
        except ValueError as error:
            raise HarnessError(
                f"{self._folder / CHECKPOINT} is of another network ({error}); delete it to train from the start"
            ) from error
        kept = {name: meta[name] for name in _PLAIN}
        self._progress = Progress(best_kept=groups.get("best", []), **kept)

    @staticmethod
    def _set(variables: list[Any], arrays: checkpoints.Arrays) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            if tuple(variable.shape) != array.shape:
                raise ValueError(f"{variable.path} has shape {list(variable.shape)}, stored is {list(array.shape)}")
            variable.assign(array)
