"""Serves one deployed edge half in Triton's python backend.

This file is shipped as `model.py` of a deployment's repository and imports nothing of the harness. The server's Python
needs NumPy, Keras and TensorFlow, and what the deployment's wire format needs (`scission_wire` beside it: Pillow for
JPEG, zstandard for zstd). TensorFlow's threads: the environment variables TF_NUM_INTRAOP_THREADS and
TF_NUM_INTEROP_THREADS.

    PAYLOAD  UINT8 [bytes]       the tensor at the cut in the deployment's wire format; or, where that is float32,
    NUMBERS  FP32 [elements]     its numbers
    OUTPUT   FP32 [1, classes]   class scores
    TIMES    INT64 [4]           called, input ready, the same again, done (CLOCK_MONOTONIC, ns)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.dont_write_bytecode = True  # the repository stays what its manifest describes


class TritonPythonModel:
    """One instance serves one cut."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load and compile the half. Raises what Keras raises for a file that it cannot read."""
        folder = Path(args["model_repository"], args["model_version"])
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        sys.path.insert(0, str(folder))
        import keras
        import tensorflow as tf
        from scission_wire.transfer import wire  # type: ignore[import-not-found, unused-ignore]

        self._wire_format = wire.get(settings["wire_format"])
        self._shape = tuple(settings["payload_shape"])
        self._tensor = tf.convert_to_tensor
        edge = keras.models.load_model(folder / "edge.keras", compile=False, safe_mode=True)
        self._edge = tf.function(
            lambda x: edge(x, training=False),
            autograph=False,
            input_signature=[tf.TensorSpec(self._shape, tf.float32)],
        ).get_concrete_function()
        self._edge(self._tensor(np.zeros(self._shape, np.float32)))  # the first call is the slow one

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request, time.monotonic_ns()) for request in requests]

    def _answer(self, request: Any, called_ns: int) -> Any:
        try:
            given = pb_utils.get_input_tensor_by_name(request, "PAYLOAD")
            given = given or pb_utils.get_input_tensor_by_name(request, "NUMBERS")
            payload = given.as_numpy().view(np.uint8)
            array = self._wire_format.deserialize(payload.data, self._shape)
            x = self._tensor(np.asarray(array, dtype=np.float32))
            ready_ns = time.monotonic_ns()
            scores = np.asarray(self._edge(x))
            times = [called_ns, ready_ns, ready_ns, time.monotonic_ns()]
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(error).__name__}: {error}"))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("OUTPUT", np.ascontiguousarray(scores)),
                pb_utils.Tensor("TIMES", np.array(times, dtype=np.int64)),
            ]
        )
