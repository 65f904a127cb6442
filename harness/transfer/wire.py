"""Wire formats: how the tensor at a cut becomes bytes and a tensor again. NumPy only.

A format is a numeric stage and an entropy stage, freely combined (JPEG packs bytes alone, so it needs uint8):

    numeric  float32, float16, uint8 (percentile)                      harness.transfer.numeric
    entropy  none, zlib (level), zstd (level), jpeg (quality)          harness.transfer.entropy

Its label names both, the entropy stage where there is one: `float32`, `uint8+zlib`,
`uint8:percentile=99.9+jpeg:quality=75`. A label that ends in `!random` marks payloads whose size means nothing: they
were packed by force from a network with random weights. A payload is the numeric stage's header (of uint8: its range),
then the packed numbers; nothing else is needed to read it but its format and shape. It comes from the network:
`deserialize` answers all that is not a payload of this format and shape with one `WireFormatError`.

Shapes here are those of the whole array, batch axis included. A new stage is a subclass there, and its parameters are
keys of conf/wire_format. What a picture is sent in to a whole model on the edge is `harness.transfer.pictures`' matter.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import SpecError
from harness.results.labels import format_label, parse_label
from harness.transfer import entropy, numeric
from harness.transfer.entropy import Entropy
from harness.transfer.numeric import Numeric
from harness.transfer.payload import Array, Payload, Shape, WireFormatError

__all__ = [
    "FORCED",
    "Payload",
    "Shape",
    "WireFormat",
    "WireFormatError",
    "entropy_names",
    "get",
    "numeric_names",
]

#: Ends the label of a format whose payload sizes mean nothing, because the weights are random.
FORCED = "!random"


@dataclass(frozen=True)
class WireFormat:
    """A numeric and an entropy stage.

    forced: whether its payload sizes mean nothing (see above); it changes no byte.
    """

    numeric: Numeric
    entropy: Entropy
    forced: bool = False

    def __post_init__(self) -> None:
        if self.entropy.name == "jpeg" and self.numeric.dtype != np.uint8:
            raise SpecError(
                f"wire_format: JPEG packs bytes, not {self.numeric.name}; allowed: wire_format=uint8 with "
                "wire_format.entropy=jpeg, or another entropy stage"
            )
        if self.forced and not self.content_dependent:
            raise SpecError(f"wire_format: {FORCED} marks entropy-coded payloads alone; leave it out")

    @property
    def label(self) -> str:
        """How keys name it; the inverse of `get`."""
        stages = [_label(self.numeric)] + ([_label(self.entropy)] if self.content_dependent else [])
        return "+".join(stages) + (FORCED if self.forced else "")

    name = label

    @property
    def content_dependent(self) -> bool:
        """Whether the size of a payload depends on what is in it."""
        return self.entropy.name != "none"

    def infeasible_because(self, shape: Shape) -> str | None:
        """Why it cannot carry tensors of `shape` (here without batch axis); None where it can."""
        return self.entropy.infeasible_because(shape)

    def serialize(self, array: Array) -> bytes:
        """The payload of a float32 array; raises WireFormatError for another dtype or what the format cannot carry."""
        if array.dtype != np.float32:
            raise WireFormatError(f"wire_format {self.label}: got an array of {array.dtype}; allowed: float32")
        header, numbers = self.numeric.encode(array)
        return header + self.entropy.pack(numbers) if header else self.entropy.pack(numbers)

    def deserialize(self, payload: Payload, shape: Shape) -> NDArray[np.float32]:
        """The float32 array of `shape`, perhaps a read-only view of `payload`; raises WireFormatError."""
        given, header = memoryview(payload), self.numeric.header_bytes
        if (not self.content_dependent and given.nbytes != self.payload_bytes(shape)) or given.nbytes < header:
            raise WireFormatError(
                f"wire_format {self.label}: got {given.nbytes} bytes for shape {list(shape)}; allowed: "
                f"{self._allowed(shape)}; the payload is damaged or of another cut"
            )
        numbers = self.entropy.unpack(given[header:] if header else given, shape, self.numeric.dtype)
        return self.numeric.decode(given[:header], numbers)

    def payload_bytes(self, shape: Shape) -> int | None:
        """Size of the payload of an array of `shape`; None where it depends on the content."""
        if self.content_dependent:
            return None
        return self.numeric.header_bytes + math.prod(shape) * self.numeric.dtype.itemsize

    def _allowed(self, shape: Shape) -> str:
        size = self.payload_bytes(shape)
        return f"exactly {size}" if size is not None else f"at least {self.numeric.header_bytes}"


@functools.lru_cache(maxsize=512)  # asked for in every request
def get(label: str) -> WireFormat:
    """The wire format of that label, e.g. `float32` or `uint8+zlib:level=9`.

    Raises:
        SpecError: no such stage (the nearest is named), no such parameter, a value or a pair that is not allowed.
    """
    text = label.removesuffix(FORCED)
    parts = text.split("+")
    if len(parts) > 2:
        raise SpecError(f"wire_format: got {label!r}; allowed: NUMERIC or NUMERIC+ENTROPY, e.g. uint8+zlib")
    try:
        named = [parse_label(part) for part in parts]
    except ValueError as error:
        raise SpecError(f"wire_format: {error}, e.g. uint8+zlib") from error
    (name, parameters), (packer, own) = named if len(named) == 2 else (*named, ("none", {}))
    return WireFormat(
        numeric.REGISTRY.create(name, **parameters), entropy.REGISTRY.create(packer, **own), label.endswith(FORCED)
    )


def numeric_names() -> tuple[str, ...]:
    """All numeric stages."""
    return numeric.REGISTRY.names()


def entropy_names() -> tuple[str, ...]:
    """All entropy stages."""
    return entropy.REGISTRY.names()


def _label(stage: Numeric | Entropy) -> str:
    values = {each.name: (getattr(stage, each.name), each.default) for each in dataclasses.fields(stage)}
    return format_label(stage.name, {name: own for name, (own, default) in values.items() if own != default})
