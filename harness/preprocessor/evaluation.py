"""What a model answers on labelled pictures (TensorFlow when called)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import zoo
from harness.preprocessor.images import Images, Labels

#: Of the pictures evaluated at once; a size that never changes, so that nothing is compiled twice.
BATCH = 250
_TOP = 5


@dataclass(frozen=True)
class Answers:
    """Of one model on one part of a data set.

    predicted  uint16 [images]: the class with the highest score
    among_top  bool [images]: whether the label is among the five highest scores
    labels     int32 [images]
    """

    predicted: NDArray[np.uint16]
    among_top: NDArray[np.bool_]
    labels: Labels

    @property
    def correct(self) -> NDArray[np.bool_]:
        """bool [images]."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @property
    def top1(self) -> float:
        """Share of pictures whose label has the highest score."""
        return float(self.correct.mean())

    @property
    def top5(self) -> float:
        """Share of pictures whose label has one of the five highest scores."""
        return float(self.among_top.mean())


class Evaluator:
    """A model, compiled once, asked about any part of a data set.

    Args:
        model: Keras model, [batch, height, width, channels] to scores [batch, classes]. Its weights are read anew at
            each call.
        spec: how pictures become its input.
    """

    def __init__(self, model: Any, spec: zoo.ModelSpec) -> None:
        self._scores = compiled(model)
        self._spec = spec

    def __call__(self, images: Images, advance: Callable[[float], None] | None = None) -> Answers:
        """Ask about all of `images`; `advance` is told the share done."""
        predicted, among = [], []
        labels = images.labels
        for start in range(0, len(images), BATCH):
            indices = np.arange(start, min(start + BATCH, len(images)))
            scores = self._scores(padded(zoo.preprocess(self._spec, images.take(indices)), BATCH))[: len(indices)]
            predicted.append(scores.argmax(axis=1).astype(np.uint16))
            top = min(_TOP, scores.shape[1])
            best = np.argpartition(-scores, top - 1, axis=1)[:, :top]
            among.append((best == labels[indices, np.newaxis]).any(axis=1))
            if advance is not None:
                advance((start + len(indices)) / len(images))
        return Answers(np.concatenate(predicted), np.concatenate(among), labels)


def compiled(model: Any, *, training: bool = False) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A Keras model as a compiled function from an array to an array; with `training`, as while training."""
    import tensorflow as tf

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def call(x: Any) -> Any:
        return model(x, training=training)

    return lambda x: np.asarray(call(tf.constant(x)))


def padded(x: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """`x` [n, ...] with zeros behind it, [batch, ...]."""
    if len(x) == batch:
        return x
    return np.concatenate([x, np.zeros((batch - len(x), *x.shape[1:]), x.dtype)])
