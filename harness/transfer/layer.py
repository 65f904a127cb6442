"""What a transfer layer is. The layers themselves: `pooling`, `learned`; by name: `layers`."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.errors import SpecError
from harness.results.labels import format_label
from harness.transfer.registry import Registry

Shape = tuple[int, ...]

REGISTRY: Registry[TransferLayer] = Registry("transfer_layer")


@dataclass(frozen=True)
class TransferLayer(ABC):
    """One way to shrink a tensor at a cut: a frozen dataclass of its parameters.

    A subclass with a `name` registers itself. Equal layers give equal halves, the weights of learned ones included.

    name     in the registry, and of the layer's file in conf/transfer_layer
    learned  whether its halves have weights, so that what it costs is not a matter of the payload's size alone
    seed     of the weights that a learned layer starts with; no part of its label
    """

    name: ClassVar[str]
    learned: ClassVar[bool] = False

    seed: int = field(default=0, kw_only=True)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in cls.__dict__:
            REGISTRY.register(cls.name, cls)

    @property
    def label(self) -> str:
        """Name and the parameters that have not their default, see `harness.results.labels`."""
        own = [each for each in dataclasses.fields(self) if each.name != "seed"]
        changed = {each.name: getattr(self, each.name) for each in own if getattr(self, each.name) != each.default}
        return format_label(self.name, changed)

    @abstractmethod
    def infeasible_because(self, shape: Shape) -> str | None:
        """Why this layer cannot stand where a tensor of `shape` crosses; None where it can."""

    @abstractmethod
    def payload_shape(self, shape: Shape) -> Shape:
        """Shape of what DeviceTL makes of a tensor of `shape`; raises SpecError where it is infeasible."""

    @abstractmethod
    def device_tl(self, shape: Shape) -> Any | None:
        """Keras model from [batch, *shape] to [batch, *payload_shape(shape)]; None: nothing to do.

        Each call gives a model of its own, whose weights (where it has any) can be trained and set.
        Raises SpecError where it is infeasible.
        """

    @abstractmethod
    def edge_tl(self, shape: Shape) -> Any | None:
        """Keras model from [batch, *payload_shape(shape)] back to [batch, *shape]; None: nothing to do.

        `shape` is that of the tensor at the cut; else as `device_tl`.
        """

    def _require(self, parameter: str, allowed: Sequence[object]) -> None:
        value = getattr(self, parameter)
        if value not in allowed or type(value) is not type(allowed[0]):
            raise SpecError(
                f"transfer_layer {self.name}: {parameter}={value!r} is not allowed; "
                f"allowed: {', '.join(map(str, allowed))}"
            )


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class SpatialLayer(TransferLayer):
    """A layer that needs a feature map: height, width and channels."""

    #: What the layer does, for the reason why it cannot.
    action: ClassVar[str]

    def infeasible_because(self, shape: Shape) -> str | None:
        if len(shape) != 3:
            return f"no spatial axes: the tensor is {list(shape)}, {self.action} needs [height, width, channels]"
        return None

    def _require_feasible(self, shape: Shape) -> None:
        reason = self.infeasible_because(shape)
        if reason is not None:
            raise SpecError(f"transfer_layer {self.name}: {reason}; cut elsewhere or use transfer_layer none")
