"""A deployed half in memory, compiled as the Offloader runs it. TensorFlow is imported by `load_half`, never before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DeviceError

Half = Callable[[NDArray[Any]], NDArray[np.float32]]


def load_half(path: Path, shape: Sequence[int], *, threads: int = 1) -> Half:
    """A .keras file as a function of one float32 array of `shape`, batch axis first; it has run once.

    Args:
        threads: TensorFlow's inside an operation; between operations it is one.

    Raises:
        DeviceError: Keras cannot load the file, or would have to run code in it.
    """
    import keras
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for a file that it cannot read, or will not run
        raise DeviceError(
            f"{path.name} of the deployment cannot be loaded: {' '.join(str(error).split())[:300]}"
        ) from error
    function = tf.function(
        lambda x: model(x, training=False),
        autograph=False,
        input_signature=[tf.TensorSpec(tuple(shape), tf.float32)],
    ).get_concrete_function()

    def half(array: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(function(tf.convert_to_tensor(array)))

    half(np.zeros(tuple(shape), np.float32))
    return half
