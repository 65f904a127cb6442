"""Transfer layers: what shrinks the tensor at a cut before it is sent, and restores its shape afterwards.

A transfer layer is Keras (shapes, gradients, training); how its tensor becomes bytes is the wire format's
matter. Shapes here are those of one tensor without the batch axis. Shape maths needs no TensorFlow; only
`device_tl` and `edge_tl` import it. A new layer is a subclass here and a YAML file in conf/transfer_layer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from harness.errors import SpecError
from harness.transfer.registry import Registry

Shape = tuple[int, ...]

_REGISTRY: Registry[TransferLayer] = Registry("transfer_layer")


class TransferLayer(ABC):
    """One way to shrink a tensor at a cut. Subclasses register themselves under their `name`."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _REGISTRY.register(cls.name, cls)

    @abstractmethod
    def infeasible_because(self, shape: Shape) -> str | None:
        """Why this layer cannot stand where a tensor of `shape` crosses; None where it can."""

    @abstractmethod
    def payload_shape(self, shape: Shape) -> Shape:
        """Shape of what DeviceTL makes of a tensor of `shape`; raises SpecError where it is infeasible."""

    @abstractmethod
    def device_tl(self, shape: Shape) -> Any | None:
        """Keras model from [batch, *shape] to [batch, *payload_shape(shape)]; None: nothing to do.

        Raises SpecError where it is infeasible.
        """

    @abstractmethod
    def edge_tl(self, shape: Shape) -> Any | None:
        """Keras model from [batch, *payload_shape(shape)] back to [batch, *shape]; None: nothing to do.

        `shape` is that of the tensor at the cut. Raises SpecError where it is infeasible.
        """


class NoTransferLayer(TransferLayer):
    """The tensor crosses as it is: original Scission."""

    name = "none"

    def infeasible_because(self, shape: Shape) -> str | None:  # noqa: ARG002
        return None

    def payload_shape(self, shape: Shape) -> Shape:
        return shape

    def device_tl(self, shape: Shape) -> Any | None:  # noqa: ARG002
        return None

    def edge_tl(self, shape: Shape) -> Any | None:  # noqa: ARG002
        return None


class MaxPool(TransferLayer):
    """The paper's transfer layer (section 3.2): 2x2 max pooling with stride 2, nearest-neighbour upsampling.

    Odd sizes: a last row or column without partner is pooled alone, so h becomes ceil(h/2); upsampling gives
    one row or column too many, which is cropped, so that 149 -> 75 -> 149. (The paper pools without padding,
    which would lose the last row and give back 148, a shape the next layer cannot take.)
    """

    name = "maxpool"

    def infeasible_because(self, shape: Shape) -> str | None:
        if len(shape) != 3:
            return f"no spatial axes: the tensor is {list(shape)}, max pooling needs [height, width, channels]"
        return None

    def payload_shape(self, shape: Shape) -> Shape:
        self._require_feasible(shape)
        height, width, channels = shape
        return (math.ceil(height / 2), math.ceil(width / 2), channels)

    def device_tl(self, shape: Shape) -> Any | None:
        import keras

        self._require_feasible(shape)
        pool = keras.layers.MaxPooling2D(pool_size=2, strides=2, padding="same", name="device_tl")
        return keras.Sequential([keras.Input(shape), pool])

    def edge_tl(self, shape: Shape) -> Any | None:
        import keras

        payload = self.payload_shape(shape)
        layers = [keras.Input(payload), keras.layers.UpSampling2D(2, interpolation="nearest", name="edge_tl")]
        if shape[0] % 2 or shape[1] % 2:
            layers.append(keras.layers.Cropping2D(((0, shape[0] % 2), (0, shape[1] % 2)), name="edge_tl_crop"))
        return keras.Sequential(layers)

    def _require_feasible(self, shape: Shape) -> None:
        reason = self.infeasible_because(shape)
        if reason is not None:
            raise SpecError(f"transfer_layer {self.name}: {reason}; cut elsewhere or use transfer_layer none")


def get(name: str, **parameters: Any) -> TransferLayer:
    """The transfer layer of that name. Raises SpecError, naming the nearest, where there is none."""
    return _REGISTRY.create(name, **parameters)


def names() -> tuple[str, ...]:
    """All transfer layers."""
    return _REGISTRY.names()
