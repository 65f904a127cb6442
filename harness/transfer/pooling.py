"""Transfer layers that pool: the paper's own, its ablations, and the mean for the maximum (Keras when called)."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from harness.transfer.layer import Shape, SpatialLayer

POOLS = (2, 3, 4)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True)
class Pooling(SpatialLayer):
    """Windows of pool x pool, side by side, become one value each; upsampling by the same factor restores the shape.

    Any size: the windows lie as TensorFlow's SAME padding has them, so that what no full window covers is shared out
    between both edges (nothing is added to it: padding never wins a maximum and counts in no mean) and h becomes
    ceil(h / pool). Upsampling gives up to pool - 1 rows and columns too many, which are cropped where the padding was:
    149 -> 75 -> 149. (The paper pools without padding, which would lose the last row and give back 148, a shape the
    next layer cannot take.)

    pool           height and width of a window, and its stride
    interpolation  of the upsampling: nearest (the paper's), bilinear or bicubic (its ablations, section 3.2)
    """

    pool: int = 2
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        self._require("pool", POOLS)
        self._require("interpolation", INTERPOLATIONS)

    def payload_shape(self, shape: Shape) -> Shape:
        self._require_feasible(shape)
        height, width, channels = shape
        return (math.ceil(height / self.pool), math.ceil(width / self.pool), channels)

    def device_tl(self, shape: Shape) -> Any | None:
        self._require_feasible(shape)
        import keras

        return keras.Sequential([keras.Input(shape), self._pooling(keras)])

    def edge_tl(self, shape: Shape) -> Any | None:
        payload = self.payload_shape(shape)
        import keras

        layers = [
            keras.Input(payload),
            keras.layers.UpSampling2D(self.pool, interpolation=self.interpolation, name="edge_tl"),
        ]
        crop = tuple(self._padding(size) for size in shape[:2])
        if any(map(sum, crop)):
            layers.append(keras.layers.Cropping2D(crop, name="edge_tl_crop"))
        return keras.Sequential(layers)

    @abstractmethod
    def _pooling(self, keras: Any) -> Any:
        """The Keras layer, named `device_tl`."""

    def _padding(self, size: int) -> tuple[int, int]:
        """What SAME padding adds before and after an axis of `size`."""
        missing = math.ceil(size / self.pool) * self.pool - size
        return missing // 2, missing - missing // 2


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The paper's transfer layer (section 3.2): max pooling, by default 2x2, and nearest-neighbour upsampling."""

    name = "maxpool"
    action = "max pooling"

    def _pooling(self, keras: Any) -> Any:
        return keras.layers.MaxPooling2D(self.pool, strides=self.pool, padding="same", name="device_tl")


@dataclass(frozen=True)
class AvgPool(Pooling):
    """The same with the mean of a window (of what the window holds: padding does not count)."""

    name = "avgpool"
    action = "average pooling"

    def _pooling(self, keras: Any) -> Any:
        return keras.layers.AveragePooling2D(self.pool, strides=self.pool, padding="same", name="device_tl")
