"""Transfer layers with weights of their own, which have to be trained (Keras when called)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.transfer.layer import Shape, SpatialLayer

RATIOS = (2, 4, 8, 16, 32)
#: Kernel of the autoencoder's convolutions, height and width.
_KERNEL = 3


@dataclass(frozen=True)
class Bottleneck(SpatialLayer):
    """A 1x1 convolution to a share of the channels on the device, and one back to all of them on the edge.

    Both are linear. Untrained, they project every pixel onto a random subspace and back, with no gain: the device's
    kernel has orthonormal columns and the edge's is its transpose (Saxe et al., ICLR 2014; keras' `Orthogonal`).

    ratio  the channels at the cut / those that are sent, of which there are ceil(channels / ratio)
    """

    name = "bottleneck"
    action = "a bottleneck"
    learned = True

    ratio: int = 4

    def __post_init__(self) -> None:
        self._require("ratio", RATIOS)

    def payload_shape(self, shape: Shape) -> Shape:
        self._require_feasible(shape)
        height, width, channels = shape
        return (height, width, math.ceil(channels / self.ratio))

    def device_tl(self, shape: Shape) -> Any | None:
        return self._convolution(shape, self.payload_shape(shape), "device_tl")

    def edge_tl(self, shape: Shape) -> Any | None:
        return self._convolution(self.payload_shape(shape), shape, "edge_tl")

    def _convolution(self, source: Shape, target: Shape, name: str) -> Any:
        import keras

        # The same seed on both sides: Orthogonal draws one matrix for a shape and its transpose.
        kernel = keras.initializers.Orthogonal(seed=self.seed)
        return keras.Sequential(
            [keras.Input(source), keras.layers.Conv2D(target[2], 1, kernel_initializer=kernel, name=name)]
        )


@dataclass(frozen=True)
class Autoencoder(SpatialLayer):
    """Strided 3x3 convolutions down, transposed ones up: the heavy alternative that the paper weighs (section 3.2).

    Device: `depth` convolutions with stride 2, ReLU between them. Edge: as many transposed ones, each with a ReLU, then
    a 1x1 convolution to the channels at the cut. Odd sizes: h becomes ceil(h / 2) at each step, and what comes back too
    many is cropped at the far edge.

    depth  steps, each of which halves height and width
    ratio  the channels at the cut / those in between, of which there are ceil(channels / ratio)
    """

    name = "autoencoder"
    action = "an autoencoder"
    learned = True

    depth: int = 1
    ratio: int = 2

    def __post_init__(self) -> None:
        self._require("depth", (1, 2, 3))
        self._require("ratio", (1, *RATIOS))

    def payload_shape(self, shape: Shape) -> Shape:
        self._require_feasible(shape)
        height, width, channels = shape
        factor = 2**self.depth
        return (math.ceil(height / factor), math.ceil(width / factor), math.ceil(channels / self.ratio))

    def device_tl(self, shape: Shape) -> Any | None:
        code = self.payload_shape(shape)
        import keras

        layers = [keras.Input(shape)]
        for step in range(1, self.depth + 1):
            last = step == self.depth
            layers.append(
                keras.layers.Conv2D(
                    code[2],
                    _KERNEL,
                    strides=2,
                    padding="same",
                    activation=None if last else "relu",
                    kernel_initializer=self._initializer(keras, step),
                    name=f"device_tl_{step}",
                )
            )
        return keras.Sequential(layers)

    def edge_tl(self, shape: Shape) -> Any | None:
        code = self.payload_shape(shape)
        import keras

        layers = [keras.Input(code)]
        layers += [
            keras.layers.Conv2DTranspose(
                code[2],
                _KERNEL,
                strides=2,
                padding="same",
                activation="relu",
                kernel_initializer=self._initializer(keras, self.depth + step),
                name=f"edge_tl_{step}",
            )
            for step in range(1, self.depth + 1)
        ]
        crop = tuple((0, small * 2**self.depth - size) for small, size in zip(code[:2], shape[:2], strict=True))
        if any(map(sum, crop)):
            layers.append(keras.layers.Cropping2D(crop, name="edge_tl_crop"))
        kernel = self._initializer(keras, 0)
        layers.append(keras.layers.Conv2D(shape[2], 1, kernel_initializer=kernel, name="edge_tl"))
        return keras.Sequential(layers)

    def _initializer(self, keras: Any, step: int) -> Any:
        """One for each convolution, so that no two start with the same numbers."""
        return keras.initializers.HeNormal(seed=(self.seed * 8 + step) % 2**32)
