"""A tier at work: one Keras model whose slices and transfer layers are compiled, kept and called.

The device agent and the edge server each hold one `Tier`; what of TensorFlow is a matter of the processor is in
`harness.profiling.placement`. Calls take tensors of this tier (`Tier.tensor`); an array on the host that is made of
what they return is finished work, so that a clock read after it sees all of it.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import cuts as cut_finder
from harness.dnn import features, inputs, slices, zoo
from harness.errors import CapabilityError
from harness.profiling.placement import Placement
from harness.transfer import layers

Array = NDArray[np.generic]
Call = Callable[[Any], Any]

#: Compiled slices kept per tier. A cell measures some 25 cuts and profiles some 130 blocks; a slice holds its
#: graph (a few MB) but shares the model's weights.
KEEP = 512


class Tier:
    """One model on one tier.

    Args:
        spec: which model, with which weights.
        threads: TensorFlow's threads inside an operation; between operations it is one.
        processor: that computes, `cpu` or `gpu`.

    Raises:
        CapabilityError: there is no such processor, or TensorFlow runs with other threads since an earlier model.
    """

    def __init__(self, spec: zoo.ModelSpec, *, threads: int = 1, processor: str = "cpu") -> None:
        import tensorflow as tf

        self._tf = tf
        self.placement = Placement(processor)
        _set_threads(tf, threads)
        self.spec = spec
        with self.placement.scope():
            self.model = zoo.build(spec)
        self.cuts = cut_finder.find_cuts(self.model)
        self.shapes = {cut.index: cut.shape for cut in self.cuts}
        self.last = len(self.model.layers) - 1
        self.picture: NDArray[np.uint8] = inputs.photograph(spec.input_shape)
        self.input: NDArray[np.float32] = zoo.preprocess(spec, self.picture)
        self._random: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._activations: dict[int, NDArray[np.float32]] = {}
        self._calls: OrderedDict[tuple[Any, ...], Call] = OrderedDict()
        # A compiled function refers to its variables weakly: those of a learned transfer layer live in its model.
        self._halves: dict[tuple[Any, ...], Any] = {}

    # -- slices -----------------------------------------------------------------------------------------

    def head(self, cut: int) -> Call:
        """Layers 1..`cut`: float32 [1, height, width, channels] to the tensor that crosses the cut."""
        return self._kept(("head", cut), lambda: self._chain(0, cut), self.spec.input_shape)

    def tail(self, cut: int) -> Call:
        """Layers `cut`+1..last: the tensor that crosses the cut to class scores [1, classes]."""
        return self._kept(("tail", cut), lambda: self._chain(cut, self.last), self.shape(cut))

    def block(self, start: int, end: int, execution: str) -> Call:
        """Layers `start`+1..`end`, `compiled` as the Offloader runs, or `eager` as published profiles were made.

        With `start` = `end` no layer at all: what a call costs.
        """
        if execution == "eager":
            return self._eager(("block", start, end, execution), lambda: self._block(start, end))
        return self._kept(("block", start, end), lambda: self._compilable(start, end), self.shape(start))

    def device_tl(self, cut: int, transfer_layer: str) -> Call | None:
        """The DeviceTL at a cut: [1, h, w, c] to the smaller tensor; None where the layer does nothing."""
        layer = layers.get(transfer_layer, seed=self.spec.seed)
        shape = self.shape(cut)
        return self._kept_tl(("device_tl", transfer_layer, shape), lambda: layer.device_tl(shape), shape)

    def edge_tl(self, cut: int, transfer_layer: str) -> Call | None:
        """The EdgeTL at a cut: the smaller tensor back to [1, h, w, c]; None where the layer does nothing."""
        layer = layers.get(transfer_layer, seed=self.spec.seed)
        shape = self.shape(cut)
        small = layer.payload_shape(shape)
        return self._kept_tl(("edge_tl", transfer_layer, shape), lambda: layer.edge_tl(shape), small)

    def shape(self, cut: int) -> tuple[int, ...]:
        """Shape of the tensor that crosses a cut, without the batch axis; cut 0 is the input."""
        return self.spec.input_shape if cut == 0 else self.shapes[cut]

    # -- tensors ----------------------------------------------------------------------------------------

    def tensor(self, array: Array) -> Any:
        """An array as a tensor in the memory of this tier's processor."""
        return self.placement.tensor(array)

    def settled(self, tensor: Any) -> Any:
        """The same tensor once it is computed: before a clock is read."""
        return self.placement.settle(tensor)

    def random(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A stand-in for an activation, [1, *shape]: positive, never denormal, the same each time."""
        if shape not in self._random:
            values = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
            self._random[shape] = np.abs(values) + np.float32(1e-3)
        return self._random[shape]

    def activation(self, cut: int) -> NDArray[np.float32]:
        """What crosses a cut for the default picture, [1, *shape]: block by block up to there, kept for each."""
        bounds = [0, *(own.index for own in self.cuts if own.index <= cut)]
        self._activations.setdefault(0, self.input)
        for start, end in itertools.pairwise(bounds):
            if end not in self._activations:
                block = self.block(start, end, "compiled")
                self._activations[end] = np.asarray(block(self.tensor(self._activations[start])))
        return self._activations[cut]

    def graph_features(self) -> dict[str, Any]:
        """Work, bytes and memory of every block, from the graph alone (`harness.dnn.features`)."""
        return asdict(features.graph_features(self.model, self.cuts))

    # -- compiling --------------------------------------------------------------------------------------

    def _block(self, start: int, end: int) -> Call:
        if start == end:

            def nothing(x: Any, **_: Any) -> Any:
                return self._tf.identity(x)

            return nothing
        model: Call = slices.block(self.model, start, end)
        return model

    def _compilable(self, start: int, end: int) -> Call:
        crossed = any(start < cut.index < end for cut in self.cuts)
        return self._chain(start, end) if crossed else self._block(start, end)

    def _chain(self, start: int, end: int) -> Call:
        """Layers `start`+1..`end` as a chain of the compiled blocks between cuts.

        TensorFlow inlines them before it optimises, so the result and its speed are those of the layers traced
        as one (DenseNet169: ratio 0.996 to 1.005, outputs equal), but tracing a head of 595 layers takes 0.35 s
        instead of 1.7.
        """
        bounds = [start, *(cut.index for cut in self.cuts if start < cut.index < end), end]
        blocks = [self.block(first, last, "compiled") for first, last in itertools.pairwise(bounds)]

        def chained(x: Any, **_: Any) -> Any:
            for block in blocks:
                x = block(x)
            return x

        return chained

    def _eager(self, name: tuple[Any, ...], build: Callable[[], Any]) -> Call:
        if name not in self._calls:
            model = build()
            self._calls[name] = self._placed(lambda x: model(x, training=False))
        return self._calls[name]

    def _placed(self, call: Call) -> Call:
        """Eager operations choose their processor when they are called."""
        if self.placement.processor == "cpu" and not self.placement.named:
            return call

        def placed(x: Any) -> Any:
            with self.placement.scope():
                return call(x)

        return placed

    def _kept(self, name: tuple[Any, ...], build: Callable[[], Any], shape: tuple[int, ...]) -> Call:
        if name in self._calls:
            self._calls.move_to_end(name)
            return self._calls[name]
        call = self._compile(build(), shape)
        self._calls[name] = call
        while len(self._calls) > KEEP:
            dropped, _ = self._calls.popitem(last=False)
            self._halves.pop(dropped, None)
        return call

    def _kept_tl(self, name: tuple[Any, ...], build: Callable[[], Any], shape: tuple[int, ...]) -> Call | None:
        if name not in self._calls:
            half = build()
            if half is None:
                return None
            self._halves[name] = half
        return self._kept(name, lambda: self._halves[name], shape)

    def _compile(self, model: Any, shape: tuple[int, ...]) -> Call:
        # autograph re-reads source files while tracing; a closure costs 0.10 ms a call where a default
        # argument costs 0.75 ms (measured).
        function = self._tf.function(
            lambda x: model(x, training=False),
            autograph=False,
            input_signature=[self._tf.TensorSpec((1, *shape), self._tf.float32)],
        )
        with self.placement.scope():
            call: Call = function.get_concrete_function()
        return call


def _set_threads(tf: Any, threads: int) -> None:
    """Before the first operation of a process; an edge that outlives its cells keeps what the first one set."""
    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        running = tf.config.threading.get_intra_op_parallelism_threads()
        raise CapabilityError(
            f"threads={threads}: TensorFlow runs with {running} in this process since its first model; start the "
            "server anew (of an external Triton: unload the model and load it again), or ask for as many"
        ) from None
