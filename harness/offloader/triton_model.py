"""The python backend's model: hands requests of the real Triton to the `EdgeRuntime`.

Triton loads this file as `model.py` in an interpreter of its own, in which `triton_python_backend_utils` exists.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from harness.offloader import replay
from harness.offloader.edge import EdgeRuntime
from harness.results.schema import Key


class TritonPythonModel:
    """One instance serves every cut."""

    def initialize(self, args: dict[str, Any]) -> None:  # noqa: ARG002 (the backend's signature)
        self._runtime: EdgeRuntime | replay.ReplayedEdge = EdgeRuntime()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request, time.monotonic_ns()) for request in requests]

    def _answer(self, request: Any, called_ns: int) -> Any:
        try:
            parameters = json.loads(request.parameters())
            given = pb_utils.get_input_tensor_by_name(request, "PAYLOAD")
            given = given or pb_utils.get_input_tensor_by_name(request, "NUMBERS")
            payload = given.as_numpy().view(np.uint8)
            return pb_utils.InferenceResponse(self._outputs(parameters, payload, called_ns))
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(error).__name__}: {error}"))

    def _outputs(self, parameters: dict[str, str], payload: Any, called_ns: int) -> list[Any]:
        verb = parameters.get("verb", "infer")
        if verb == "infer":
            scores, times = self._runtime.infer(Key.parse(parameters["candidate"]), payload, called_ns)
        elif verb == "echo":
            scores, times = self._runtime.echo(), [called_ns] * 4
        elif verb == "anchor":
            scores, times = self._runtime.anchor(Key.parse(parameters["candidate"]), called_ns)
        else:
            return [pb_utils.Tensor("REPLY", np.frombuffer(self._control(verb, payload), dtype=np.uint8))]
        return [
            pb_utils.Tensor("OUTPUT", np.ascontiguousarray(scores)),
            pb_utils.Tensor("TIMES", np.array(times, dtype=np.int64)),
        ]

    def _control(self, verb: str, payload: Any) -> bytes:
        """`load` decides whether this edge computes or replays; all else is the runtime's."""
        if verb == "load":
            replayed = replay.edge_of(json.loads(payload.tobytes()))
            if replayed is not None:
                self._runtime = replayed
                return b"{}"
            if isinstance(self._runtime, replay.ReplayedEdge):
                self._runtime = EdgeRuntime()
        return self._runtime.control(verb, payload)
