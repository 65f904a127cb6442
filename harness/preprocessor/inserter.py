"""The Inserter (paper, section 3.4): puts a transfer layer into a cut, which makes the TLModel.

Importing this module does not import TensorFlow; only the calls do.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from harness.dnn.cuts import Cut, find_cuts
from harness.errors import SpecError
from harness.transfer.layers import TransferLayer
from harness.transfer.wire import WireFormat

#: Names that the inserted parts have in the TLModel; each is one layer of it, those that do nothing are left out.
DEVICE_TL, WIRE_TWIN, EDGE_TL = "device_tl", "wire_twin", "edge_tl"
INSERTED = (DEVICE_TL, WIRE_TWIN, EDGE_TL)


def insert(model: Any, split: int | str, transfer_layer: TransferLayer, wire_format: WireFormat | None = None) -> Any:
    """The TLModel: the network cut after layer `split`, DeviceTL and EdgeTL between the two halves.

    It is a model of its own, on copies of the layers, with the original's weights; the original is left as it was.
    All of it can be trained. Layers keep their names, and up to the cut their indices; then come, where they do
    anything, `device_tl` (head's tensor to payload), `wire_twin` (what the wire format does to the payload's values,
    differentiable) and `edge_tl` (payload to head's tensor), then the tail.

    Args:
        model: functional Keras model with one input and one output, [batch, height, width, channels] to
            [batch, classes].
        split: the cut, as the index in `model.layers` of the last device layer or as its name.
        transfer_layer: what shrinks the tensor at the cut, and restores its shape.
        wire_format: what the payload is sent in; None or float32: its values arrive as they were sent.

    Returns:
        Functional Keras model of the same input and output shapes.

    Raises:
        SpecError: `model` is not such a model, `split` is no cut of it, or the transfer layer cannot stand there.
    """
    import keras

    cut = place(model, split, transfer_layer)
    taken = [name for name in INSERTED if name in {layer.name for layer in model.layers}]
    if taken:
        raise SpecError(f"{model.name} has a layer {taken[0]!r} already: give the model without a transfer layer")
    inserted = _parts(cut, transfer_layer, wire_format)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if layer.name == cut.layer:
            for part in inserted:
                output = part(output)
        return output

    # Given here, because Keras would name it after the tensor and not after the layer.
    image = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x._keras_history.operation.name), model.input
    )
    tl_model = keras.models.clone_model(model, input_tensors=image, call_function=call)
    for layer in model.layers:
        _copy_weights(layer, tl_model.get_layer(layer.name))
    return tl_model


def place(model: Any, split: int | str, transfer_layer: TransferLayer) -> Cut:
    """The cut, as `cut_at`; also raises SpecError where the transfer layer cannot stand there."""
    cut = cut_at(model, split)
    reason = transfer_layer.infeasible_because(cut.shape)
    if reason is not None:
        raise SpecError(
            f"transfer_layer {transfer_layer.name} cannot stand at cut {cut.index} ({cut.layer}) of {model.name}: "
            f"{reason}; cut elsewhere or use transfer_layer none"
        )
    return cut


def cut_at(model: Any, split: int | str) -> Cut:
    """The cut of a functional Keras model after layer `split` (its index in `model.layers`, or its name).

    Raises:
        SpecError: `model` is no functional Keras model with one input and output, or there is no such cut in it.
    """
    if not hasattr(model, "_nodes_by_depth"):
        raise SpecError(f"{type(model).__name__} {model.name!r} is no functional Keras model; wrap it in keras.Model")
    cuts = find_cuts(model)
    wanted = next((cut for cut in cuts if split in (cut.index, cut.layer)), None)
    if wanted is not None:
        return wanted
    names = [layer.name for layer in model.layers]
    if isinstance(split, str) and split not in names:
        close = get_close_matches(split, [cut.layer for cut in cuts], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SpecError(f"split={split}: {model.name} has no layer of this name{hint}")
    index = names.index(split) if isinstance(split, str) else split
    if not cuts:
        raise SpecError(f"split={split}: {model.name} has no cut at all: nowhere does one tensor alone cross")
    near = sorted(cuts, key=lambda cut: abs(cut.index - index))[:2]
    raise SpecError(
        f"split={split} is no cut of {model.name}: not exactly one tensor crosses after that layer; allowed: one of "
        f"its {len(cuts)} cuts, nearest {' and '.join(f'{cut.index} ({cut.layer})' for cut in near)}"
    )


def _parts(cut: Cut, transfer_layer: TransferLayer, wire_format: WireFormat | None) -> list[Any]:
    """What stands between the halves, in the order in which the tensor passes it."""
    parts = [
        _renamed(transfer_layer.device_tl(cut.shape), DEVICE_TL),
        _twin(wire_format),
        _renamed(transfer_layer.edge_tl(cut.shape), EDGE_TL),
    ]
    return [part for part in parts if part is not None]


def _renamed(part: Any | None, name: str) -> Any | None:
    """The same layers as a functional model of this name."""
    import keras

    return None if part is None else keras.Model(part.inputs[0], part.outputs[0], name=name)


def _twin(wire_format: WireFormat | None) -> Any | None:
    if wire_format is None:
        return None
    from harness.transfer.twins import twin  # Keras

    return twin(wire_format)


def _copy_weights(source: Any, target: Any) -> None:
    for ours, theirs in zip(target.weights, source.weights, strict=True):
        ours.assign(theirs)
