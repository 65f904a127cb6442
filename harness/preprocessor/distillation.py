"""The untouched model as teacher: its logits for every picture, each computed once (TensorFlow when called)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.preprocessor.images import Indices
from harness.preprocessor.learning import logits

#: Up to this many bytes of logits are remembered; beyond, the teacher is asked each time.
REMEMBERED_BYTES = 512 * 2**20


class Teacher:
    """Logits of a model that does not change.

    Args:
        model: Keras model, [batch, height, width, channels] to softmax scores [batch, classes].
        images: pictures that indices count.
    """

    def __init__(self, model: Any, images: int) -> None:
        import tensorflow as tf

        logits_of = logits(model)

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def call(x: Any) -> Any:
            return logits_of(x, training=False)

        def ask(x: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(call(tf.constant(x)))

        self._ask = ask
        classes = int(model.output_shape[-1])
        self._known: NDArray[np.float32] | None = None
        if 4 * images * classes <= REMEMBERED_BYTES:
            self._known = np.full((images, classes), np.nan, np.float32)

    def __call__(self, indices: Indices, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [batch, classes] of the pictures `indices`, whose network input is `x`."""
        if self._known is None:
            return self._ask(x)
        if np.isnan(self._known[indices]).any():
            self._known[indices] = self._ask(x)
        return self._known[indices]
