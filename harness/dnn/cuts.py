"""Where a network can be cut in two.

A cut after layer k puts layers 0..k on the device and the rest on the edge; it is a cut when exactly one live
tensor crosses, which is then layer k's output. Neither the input layer counts (sending the input is the
candidate `edge-only`) nor the last (nothing is left for the edge: `device-only`); so DenseNet169 has its 103.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.errors import SpecError

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Cut:
    """A place to cut.

    index         of the last device layer in `model.layers`
    layer         its name
    shape         of the tensor that crosses, without the batch axis
    scission_cut  whether the authors' edge-counting finder sees it too
    """

    index: int
    layer: str
    shape: tuple[int, ...]
    scission_cut: bool

    @property
    def size_bytes(self) -> int:
        """Bytes of the float32 tensor for one request."""
        return FLOAT32_BYTES * math.prod(self.shape)


@dataclass(frozen=True)
class LayerGraph:
    """Layers in topological order and what feeds them.

    names   of the layers
    inputs  for each layer the indices of the layers it reads, all of them smaller than its own
    """

    names: tuple[str, ...]
    inputs: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.inputs):
            raise ValueError(f"{len(self.names)} layer names, but inputs of {len(self.inputs)} layers; give one each")
        for index, sources in enumerate(self.inputs):
            if any(not 0 <= source < index for source in sources):
                raise ValueError(f"layer {index} reads layers {sources}; allowed: indices from 0 to {index - 1}")

    def cuts(self) -> tuple[int, ...]:
        """Indices k that exactly one live tensor crosses, the input layer and the last aside."""
        last_reader = [-1] * len(self.names)
        for index, sources in enumerate(self.inputs):
            for source in sources:
                last_reader[source] = index  # indices ascend, so the last one written is the greatest
        found = []
        farthest = -1  # of the readers of any layer before k
        for index in range(len(self.names) - 1):
            if index > 0 and farthest <= index < last_reader[index]:
                found.append(index)
            farthest = max(farthest, last_reader[index])
        return tuple(found)

    def scission_cuts(self) -> tuple[int, ...]:
        """Indices at which the finder of Scission (Lockhart et al., 2020) sees no open branch, last aside.

        From the second layer on it adds (consumers - 1) where a layer has several consumers, takes away
        (inputs - 1) where it has several inputs, and calls every layer with the sum at zero a cut.
        """
        consumers = [0] * len(self.names)
        for sources in self.inputs:
            for source in sources:
                consumers[source] += 1
        found = []
        open_branches = 0
        for index in range(1, len(self.names) - 1):
            open_branches += max(0, consumers[index] - 1) - max(0, len(self.inputs[index]) - 1)
            if open_branches == 0:
                found.append(index)
        return tuple(found)


def find_cuts(model: Any) -> tuple[Cut, ...]:
    """Every cut of a Keras model, by ascending index.

    Raises:
        SpecError: there is none; the model is not one that `layer_graph` can read.
    """
    graph = layer_graph(model)
    if not graph.cuts():
        raise SpecError(
            f"{model.name} has no cut: of its {len(graph.names)} layers none but the first and the last is one after "
            "which a single tensor goes on; a nested model counts as one layer: build it from its layers"
        )
    theirs, outputs = set(graph.scission_cuts()), outputs_of(model)
    return tuple(
        Cut(index, graph.names[index], tuple(outputs[graph.names[index]].shape[1:]), index in theirs)
        for index in graph.cuts()
    )


def outputs_of(model: Any) -> dict[str, Any]:
    """By layer, its output in this model's own graph: the `output` of a nested model is that of its own."""
    return {node.operation.name: node.output_tensors[0] for nodes in model._nodes_by_depth.values() for node in nodes}


def layer_graph(model: Any) -> LayerGraph:
    """The graph of a functional Keras model; layers are numbered as in `model.layers`.

    Raises:
        SpecError: the model has several inputs or outputs, uses one layer twice or a layer with several outputs, or
            computes with tensors outside a layer.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise SpecError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; allowed: one each"
        )
    numbers = {id(layer): index for index, layer in enumerate(model.layers)}
    inputs: list[tuple[int, ...]] = [()] * len(model.layers)
    calls = [0] * len(model.layers)
    # A slice that shares these layers adds nodes of its own to them; only this model's nodes count.
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            if id(node.operation) not in numbers:
                raise SpecError(
                    f"{model.name} computes {node.operation.name!r} ({type(node.operation).__name__}) outside a layer; "
                    "allowed: layers alone, e.g. keras.layers.Add()([x, y]) for x + y, keras.layers.Rescaling(2.0)(x) "
                    "for 2.0 * x"
                )
            if len(node.output_tensors) != 1:
                raise SpecError(
                    f"{model.name}: layer {node.operation.name!r} gives {len(node.output_tensors)} tensors; allowed: "
                    "one each"
                )
            index = numbers[id(node.operation)]
            calls[index] += 1
            inputs[index] = tuple(numbers[id(tensor._keras_history.operation)] for tensor in node.input_tensors)
    for layer, count in zip(model.layers, calls, strict=True):
        if count != 1:
            raise SpecError(
                f"{model.name} calls layer {layer.name!r} {count} times; allowed: once, "
                "so that a layer's index names a cut"
            )
    return LayerGraph(tuple(layer.name for layer in model.layers), tuple(inputs))
