"""Parting a TLModel between device and edge. Importing this module does not import TensorFlow; only the calls do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.dnn.cuts import Cut, outputs_of
from harness.errors import SpecError
from harness.preprocessor.inserter import DEVICE_TL, EDGE_TL, WIRE_TWIN, cut_at


@dataclass(frozen=True)
class Halves:
    """A TLModel in two.

    cut     where, as in the model without the transfer layer
    device  Keras model, head and DeviceTL: [batch, height, width, channels] to the payload's tensor
    edge    Keras model, EdgeTL and tail: the payload's tensor to class scores [batch, classes]
    twin    Keras layer that stood between them, what the wire format does to the payload's values; None: nothing
    """

    cut: Cut
    device: Any
    edge: Any
    twin: Any | None


def split(tl_model: Any, cut_index: int) -> Halves:
    """Part a TLModel between what runs on the device and what runs on the edge; both share its weights.

    Args:
        tl_model: as `insert` makes it.
        cut_index: the cut, as the index of the last layer of the head.

    Raises:
        SpecError: its transfer layer is not at that cut, or there is no cut.
    """
    import keras

    tensors = outputs_of(tl_model)
    cut = cut_at(tl_model, cut_index)
    inserted = [name for name in (DEVICE_TL, WIRE_TWIN, EDGE_TL) if name in tensors]
    if inserted:
        fed_by = _fed_by(tl_model, inserted[0])
        if fed_by != cut.layer:
            raise SpecError(
                f"split={cut_index} ({cut.layer}): the transfer layer of this model stands after {fed_by}; "
                "give the cut that it was trained for"
            )
    payload = tensors[DEVICE_TL if DEVICE_TL in tensors else cut.layer]
    arrived = tensors.get(WIRE_TWIN, payload)
    device = keras.Model(tl_model.inputs[0], payload, name=f"{tl_model.name}_device")
    edge = keras.Model(arrived, tl_model.outputs[0], name=f"{tl_model.name}_edge")
    return Halves(cut, device, edge, tl_model.get_layer(WIRE_TWIN) if WIRE_TWIN in tensors else None)


def _fed_by(model: Any, name: str) -> str:
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]
    node = next(node for node in nodes if node.operation.name == name)
    return str(node.input_tensors[0]._keras_history.operation.name)
