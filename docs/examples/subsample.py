"""A transfer layer of one's own: every second row and column is sent, and repeated on the edge."""

import math
from dataclasses import dataclass

from harness.transfer.layer import Shape, SpatialLayer


@dataclass(frozen=True)
class Subsample(SpatialLayer):
    name = "subsample"
    action = "subsampling"

    stride: int = 2

    def payload_shape(self, shape: Shape) -> Shape:
        self._require_feasible(shape)
        height, width, channels = shape
        return (math.ceil(height / self.stride), math.ceil(width / self.stride), channels)

    def device_tl(self, shape: Shape):
        import keras

        return keras.Sequential([keras.Input(shape), keras.layers.MaxPooling2D(1, strides=self.stride)])

    def edge_tl(self, shape: Shape):
        import keras

        small = self.payload_shape(shape)
        rows, columns = (size * self.stride - full for size, full in zip(small, shape[:2], strict=False))
        return keras.Sequential(
            [
                keras.Input(small),
                keras.layers.UpSampling2D(self.stride),
                keras.layers.Cropping2D(((0, rows), (0, columns))),
            ]
        )
