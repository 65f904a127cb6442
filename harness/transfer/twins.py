"""Training-time twins of the wire formats that change values: what arrives is what arrived over the wire, bit for bit.

Importing this module imports Keras (and TensorFlow). The constants and the order of operations are those of
`harness.transfer.numeric`, which holds with and without XLA. Each twin passes the gradient straight through (Bengio et
al., arXiv 1308.3432), but none where the value was clipped, as TensorFlow's `fake_quant_with_min_max_vars` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from harness.transfer.numeric import (
    FLOAT16_LARGEST,
    PER_STEP,
    SMALLEST_SCALE,
    STEPS,
    Float16,
    UInt8,
    order_statistics,
)
from harness.transfer.wire import WireFormat

_PACKAGE = "scissionlite"


def twin(wire_format: WireFormat) -> Any | None:
    """A Keras layer that does to a tensor what sending it in `wire_format` does; None where that is nothing.

    Any shape [batch, ...], each example with a range of its own as in a request of one. An entropy stage without loss
    adds nothing; what JPEG loses on top of the bytes it packs is not in it.
    """
    numbers = wire_format.numeric
    if isinstance(numbers, Float16):
        return Float16Twin(name="wire_twin")
    if isinstance(numbers, UInt8):
        return UInt8Twin(numbers.percentile, name="wire_twin")
    return None


@keras.saving.register_keras_serializable(_PACKAGE)
class Float16Twin(keras.layers.Layer):  # type: ignore[misc]
    """Half precision and back. [batch, ...] to the same shape, float32."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, x: Any) -> Any:
        kept = ops.clip(x, -FLOAT16_LARGEST, FLOAT16_LARGEST)
        return _straight_through(
            lambda own: ops.cast(ops.cast(ops.clip(own, -FLOAT16_LARGEST, FLOAT16_LARGEST), "float16"), "float32"),
            x,
            ops.equal(kept, x),
        )


@keras.saving.register_keras_serializable(_PACKAGE)
class UInt8Twin(keras.layers.Layer):  # type: ignore[misc]
    """A byte and back, see `harness.transfer.numeric.UInt8`. [batch, ...] to the same shape, float32.

    Args:
        percentile: as there.
    """

    def __init__(self, percentile: float = 100.0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.percentile = UInt8(percentile).percentile

    def call(self, x: Any) -> Any:
        low, high = self._range(x)
        inside = ops.logical_and(x >= low, x <= high)
        low, high = ops.minimum(low, 0.0), ops.maximum(high, 0.0)
        scale = ops.maximum((high - low) * PER_STEP, SMALLEST_SCALE)
        zero = ops.minimum(ops.round(-low / scale), STEPS)

        def quantised(own: Any) -> Any:
            steps = ops.clip(ops.round(own / scale) + zero, 0.0, STEPS)
            return (steps - zero) * scale

        return _straight_through(quantised, x, inside)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "percentile": self.percentile}

    def _range(self, x: Any) -> tuple[Any, Any]:
        """Low and high end of each example, [batch, 1, ...]."""
        count = math.prod(x.shape[1:])
        first, _ = order_statistics(count, self.percentile)
        flat = ops.reshape(x, (-1, count))
        if first == 0:
            low, high = ops.min(flat, axis=1), ops.max(flat, axis=1)
        else:
            low = -ops.top_k(-flat, first + 1).values[:, -1]
            high = ops.top_k(flat, first + 1).values[:, -1]
        ends = (-1, *(1 for _ in x.shape[1:]))
        return ops.reshape(low, ends), ops.reshape(high, ends)


def _straight_through(function: Callable[[Any], Any], x: Any, inside: Any) -> Any:
    """`function(x)` whose gradient is 1 where `inside`, else 0. Its result is exact: x + (f(x) - x) would not be."""
    passed = ops.stop_gradient(ops.cast(inside, "float32"))

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def called(own: Any) -> tuple[Any, Callable[..., Any]]:
        def gradient(*args: Any, upstream: Any = None) -> Any:
            (upstream,) = args if upstream is None else (upstream,)
            return upstream * passed

        return function(own), gradient

    return called(x)
