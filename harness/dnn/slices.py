"""Parts of a Keras model as models of their own, sharing its weights."""

from __future__ import annotations

from typing import Any

from harness.dnn.cuts import outputs_of
from harness.errors import SpecError


def head(model: Any, cut_index: int) -> Any:
    """Layers 1..`cut_index`: [batch, height, width, channels] to the tensor that crosses the cut.

    `cut_index` may also be the last layer: then the head is the whole model. Raises as `block` does.
    """
    return block(model, 0, cut_index)


def tail(model: Any, cut_index: int) -> Any:
    """Layers `cut_index`+1..last: the tensor that crosses the cut to the scores [batch, classes].

    `cut_index` may also be 0: then the tail is the whole model. Raises as `block` does.
    """
    return block(model, cut_index, len(model.layers) - 1)


def block(model: Any, start_index: int, end_index: int) -> Any:
    """Layers `start_index`+1..`end_index`: the output of layer `start_index` to that of layer `end_index`.

    Raises:
        SpecError: not 0 <= start < end <= last, or more than one tensor crosses at `start_index`.
    """
    import keras

    last = len(model.layers) - 1
    if not 0 <= start_index < end_index <= last:
        raise SpecError(
            f"no block from layer {start_index} to {end_index} in {model.name}; allowed: 0 <= start < end <= {last}"
        )
    try:
        outputs = outputs_of(model)
        return keras.Model(*(outputs[model.layers[index].name] for index in (start_index, end_index)))
    except ValueError as error:
        raise SpecError(
            f"{model.name} cannot be cut at layer {start_index} ({model.layers[start_index].name}): "
            "more than one tensor crosses there; take an index that find_cuts names"
        ) from error
