"""What a network's graph says about its cost without running it: work, bytes and memory, block by block.

Counts only; nothing here was timed, and no TensorFlow is imported: the model comes built.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.dnn.cuts import FLOAT32_BYTES, Cut, LayerGraph, layer_graph, outputs_of


@dataclass(frozen=True)
class LayerFeatures:
    """Layers of one type in one block, for one request (batch 1).

    layers        how many
    macs          multiply-accumulates of convolutions and dense layers; 0 for what only moves or maps values
    parameters    trainable or not
    input_bytes   of the float32 tensors that they read
    output_bytes  of the float32 tensors that they write

    Raises ValueError for a count below 0.
    """

    layers: int
    macs: int
    parameters: int
    input_bytes: int
    output_bytes: int

    def __post_init__(self) -> None:
        counts = (self.layers, self.macs, self.parameters, self.input_bytes, self.output_bytes)
        if min(counts) < 0:
            raise ValueError(f"counts of layers, MACs, parameters and bytes are {counts}; allowed: from 0")

    def __add__(self, other: LayerFeatures) -> LayerFeatures:
        return LayerFeatures(
            self.layers + other.layers,
            self.macs + other.macs,
            self.parameters + other.parameters,
            self.input_bytes + other.input_bytes,
            self.output_bytes + other.output_bytes,
        )


#: By layer type: Keras' class name, for convolutions with the kernel, e.g. `Conv2D 3x3`.
BlockFeatures = dict[str, LayerFeatures]


@dataclass(frozen=True)
class GraphFeatures:
    """Of a whole model.

    blocks           one entry a cut, then one for the rest: the layers between consecutive cuts
    head_peak_bytes  one entry a cut, see `head_peak_bytes`
    """

    blocks: tuple[BlockFeatures, ...]
    head_peak_bytes: tuple[int, ...]


def graph_features(model: Any, cuts: Sequence[Cut]) -> GraphFeatures:
    """Features of every block of a Keras model, and what each head needs in memory.

    Raises:
        SpecError: as `layer_graph` does.
    """
    graph = layer_graph(model)
    outputs = outputs_of(model)
    output_bytes = [_tensor_bytes(outputs[layer.name]) for layer in model.layers]
    parameters = [int(layer.count_params()) for layer in model.layers]
    own = [
        LayerFeatures(
            1,
            _macs(layer),
            parameters[index],
            sum(output_bytes[source] for source in graph.inputs[index]),
            output_bytes[index],
        )
        for index, layer in enumerate(model.layers)
    ]
    bounds = [0, *(cut.index for cut in cuts), len(model.layers) - 1]
    blocks = tuple(
        merged([{layer_type(model.layers[index]): own[index]} for index in range(start + 1, end + 1)])
        for start, end in itertools.pairwise(bounds)
    )
    weights = [FLOAT32_BYTES * count for count in parameters]
    return GraphFeatures(blocks, head_peak_bytes(graph, output_bytes, weights, [cut.index for cut in cuts]))


def merged(blocks: Sequence[BlockFeatures]) -> BlockFeatures:
    """Consecutive blocks as one."""
    total: BlockFeatures = {}
    for block in blocks:
        for name, features in block.items():
            total[name] = total[name] + features if name in total else features
    return total


def layer_type(layer: Any) -> str:
    """Class name of a Keras layer; a convolution's kernel belongs to it, since its speed depends on it."""
    kernel = getattr(layer, "kernel_size", None)
    name = type(layer).__name__
    return f"{name} {'x'.join(str(side) for side in kernel)}" if kernel else name


def head_peak_bytes(
    graph: LayerGraph, output_bytes: Sequence[int], weight_bytes: Sequence[int], cuts: Sequence[int]
) -> tuple[int, ...]:
    """Memory that the head of each cut needs on the device:

        weights of layers 1..cut + max over layers i in 1..cut of the activations alive while i runs

    Layers run in the order of `model.layers`. Alive while i runs are i's own output and every output of an
    earlier layer that i or a later layer reads, the input picture included. All float32, batch 1. Not counted:
    what a runtime needs for itself (its code, workspaces of convolutions, buffers that it has not given back),
    the transfer layer and the message.

    Args:
        output_bytes, weight_bytes: by layer.
        cuts: layer indices that one live tensor crosses, ascending.
    """
    last_reader = list(range(len(graph.inputs)))
    for index, sources in enumerate(graph.inputs):
        for source in sources:
            last_reader[source] = index
    ending: list[list[int]] = [[] for _ in graph.inputs]
    for index, reader in enumerate(last_reader):
        ending[reader].append(index)
    peaks = {}
    alive = peak = weights = 0
    for index in range(len(graph.inputs)):
        alive += output_bytes[index]
        weights += weight_bytes[index]
        peak = max(peak, alive)
        peaks[index] = weights + peak
        alive -= sum(output_bytes[done] for done in ending[index])
    return tuple(peaks[cut] for cut in cuts)


def _tensor_bytes(output: Any) -> int:
    tensors = output if isinstance(output, list | tuple) else [output]
    return sum(FLOAT32_BYTES * math.prod(tensor.shape[1:]) for tensor in tensors)


def _placed(layer: Any) -> bool:
    """Whether it is known what a layer of a nested model takes and gives: not in a class with a call of its own, nor
    where the nested model leaves its size open."""
    try:
        shapes = (layer.input.shape, layer.output.shape)
    except (AttributeError, ValueError):  # never called, or several inputs or outputs
        return False
    return all(side is not None for shape in shapes for side in shape[1:])


def _macs(layer: Any) -> int:
    """Multiply-accumulates of one layer for batch 1.

    Convolution: output positions x kernel area x input channels / groups x filters. Depthwise: output positions
    x kernel area x channels. Separable: both, the pointwise one 1x1. Dense: inputs x units. A nested model: its
    layers together.
    """
    if hasattr(layer, "layers"):
        return sum(_macs(inner) for inner in layer.layers if _placed(inner))
    kind = type(layer).__name__
    if kind == "Dense":
        return int(math.prod(layer.output.shape[1:]) * layer.kernel.shape[0])
    if kind not in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D"):
        return 0
    *positions, channels_out = layer.output.shape[1:]
    channels_in = layer.input.shape[-1]
    area = math.prod(positions) * math.prod(layer.kernel_size)
    if kind == "Conv2D":
        return int(area * channels_in // layer.groups * channels_out)
    if kind == "DepthwiseConv2D":
        return int(area * channels_out)
    deep = channels_in * layer.depth_multiplier
    return int(area * deep + math.prod(positions) * deep * channels_out)
