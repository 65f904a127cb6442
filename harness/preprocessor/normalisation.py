"""Batch normalisation while a network is retrained: its memory, and recalibration without any training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.dnn import zoo
from harness.preprocessor.evaluation import compiled
from harness.preprocessor.images import Images

#: Statistics of layers with one value a channel and picture (1x1 maps) need some hundred pictures a batch.
BATCH = 250


def layers_of(model: Any) -> list[Any]:
    """The batch normalisations of a model, nested models not entered."""
    import keras

    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


@contextmanager
def memory(layers: list[Any], momentum: float) -> Iterator[None]:
    """Within, running statistics keep `momentum` of what they were at each step; what is compiled there keeps it."""
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = momentum
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.momentum = own


@contextmanager
def frozen(layers: list[Any]) -> Iterator[None]:
    """Within, these layers learn nothing, and batch normalisation among them uses its running statistics."""
    before = [layer.trainable for layer in layers]
    for layer in layers:
        layer.trainable = False
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.trainable = own


def recalibrate(
    model: Any, after: int, spec: zoo.ModelSpec, images: Images, count: int, advance: Callable[[float], None]
) -> None:
    """Set the running mean and variance behind layer `after` to those of `count` pictures, whole batches of them.

    One forward pass in training mode: each layer sees inputs normalised by their own batch, and its statistics are
    averaged over the batches (Wu and Johnson, arXiv 2105.07576). The pictures are drawn at random, the same each time.
    No weight changes. `after` is an index in `model.layers`; before it, nothing changed that would need it.
    """
    tail = [layer for layer in layers_of(model) if layer in model.layers[after + 1 :]]
    if not tail:
        return
    batch = min(BATCH, len(images), count)
    batches = max(1, min(count, len(images)) // batch)
    order = np.random.default_rng(0).permutation(len(images))
    sums = [[np.zeros(weight.shape) for weight in (layer.moving_mean, layer.moving_variance)] for layer in tail]
    with memory(tail, 0.0), frozen(model.layers[: after + 1]):  # momentum 0: what is there is the last batch's
        call = compiled(model, training=True)
        for number in range(batches):
            indices = np.sort(order[number * batch : (number + 1) * batch])
            call(zoo.preprocess(spec, images.take(indices)))
            for layer, own in zip(tail, sums, strict=True):
                own[0] += np.asarray(layer.moving_mean)
                own[1] += np.asarray(layer.moving_variance)
            advance((number + 1) / batches)
    for layer, (mean, variance) in zip(tail, sums, strict=True):
        layer.moving_mean.assign(mean / batches)
        layer.moving_variance.assign(variance / batches)
