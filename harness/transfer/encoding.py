"""What stands in a cut: a transfer layer and a wire format (no TensorFlow)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.schema import Key
from harness.transfer import layers, wire
from harness.transfer.layers import Shape


@dataclass(frozen=True, order=True)
class Encoding:
    """A transfer layer and a wire format, each by its label.

    As a text the layer's label alone where the format is float32, else both: `maxpool`, `bottleneck/uint8+zlib`.
    """

    transfer_layer: str
    wire_format: str = "float32"

    def __str__(self) -> str:
        return self.transfer_layer if self.wire_format == "float32" else f"{self.transfer_layer}/{self.wire_format}"

    @classmethod
    def parse(cls, text: str) -> Encoding:
        """The inverse of `str(encoding)`, in canonical labels. Raises SpecError for names or values that are wrong."""
        layer, _, form = text.partition("/")
        return cls(layers.get(layer).label, wire.get(form or "float32").label)

    @classmethod
    def of(cls, key: Key) -> Encoding:
        """That of a split."""
        return cls(key.transfer_layer, key.wire_format)

    def key(self, split: int) -> Key:
        """The candidate that a cut with it is."""
        return Key("split", split, self.transfer_layer, self.wire_format)

    @property
    def content_dependent(self) -> bool:
        """Whether the size of a payload depends on what is in it."""
        return wire.get(self.wire_format).content_dependent

    def infeasible_because(self, shape: Shape) -> str | None:
        """Why it cannot stand where a tensor of `shape` (without batch axis) crosses; None where it can."""
        layer = layers.get(self.transfer_layer)
        reason = layer.infeasible_because(shape)
        return reason or wire.get(self.wire_format).infeasible_because(layer.payload_shape(shape))

    def payload_bytes(self, shape: Shape) -> int | None:
        """Size of the payload; None where it depends on the content. Raises SpecError where it is infeasible."""
        return wire.get(self.wire_format).payload_bytes((1, *layers.get(self.transfer_layer).payload_shape(shape)))


#: Ranked at every cut in every run: original Scission, and the paper's transfer layer.
RANKED = (Encoding("none"), Encoding("maxpool"))
