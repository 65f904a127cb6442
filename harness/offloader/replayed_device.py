"""The device's side of a replayed request: the recorded waits, a real encoding, the real call to the edge."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import inputs, zoo
from harness.offloader import codec
from harness.offloader.communicator import Communicator, Message
from harness.offloader.device import call_edge, echo, observation
from harness.offloader.endpoint import EdgeEndpoint
from harness.offloader.observation import Observation
from harness.offloader.replay import Plan, stand_in, undisturbed, wait_until
from harness.results.schema import DEVICE_TERMS, Key


class ReplayedDevice:
    """A device of which only the times are there: the same verbs as `DeviceRuntime`.

    Args:
        model: for its input's size and preprocessing.
    """

    def __init__(
        self, plan: Plan, model: zoo.ModelSpec, communicator: Communicator | None, endpoint: EdgeEndpoint
    ) -> None:
        self._plan = plan
        self._model = model
        self._communicator = communicator
        self._endpoint = endpoint
        self._tensors: dict[Key, NDArray[Any]] = {}

    def run(self, request: Mapping[str, Any]) -> Observation:
        """Run one planned request as `DeviceRuntime.run` does. Unpaced it waits for nothing."""
        time.sleep((request["idle_ms"] + request["pause_ms"]) / 1e3)
        if request["kind"] == "echo":
            return echo(self._edge(), request, int(request["name"]))
        return self._candidate(request, Key.parse(str(request["name"])), real=request["kind"] != "anchor")

    def prepare(self, works: Sequence[Any], execution: str) -> None:
        """Nothing is compiled."""

    def time(self, works: Sequence[Any], **_: Any) -> dict[str, dict[str, float]]:
        """Raises ValueError: a recording is its own profile."""
        raise ValueError(f"a replayed device has nothing to time, not {len(works)} pieces of work")

    def _candidate(self, request: Mapping[str, Any], key: Key, *, real: bool) -> Observation:
        """Waits, and the call to the edge; an anchor (not `real`) keeps its payload off the link."""
        terms = self._plan.of(key) if request["paced"] else {}
        message = None if key.candidate == "device-only" else self._encoded(request, key, real=real)
        with undisturbed():
            started_ns = due_ns = time.monotonic_ns()
            marks = [started_ns]
            for term in DEVICE_TERMS:
                due_ns += terms.get(term, 0)
                marks.append(wait_until(due_ns) if term in terms else marks[-1])
        if message is None:
            scores = np.zeros((1, self._plan.classes), np.float32)
            return observation(request, (started_ns, marks[1], marks[1], 0), None, scores)
        reply = call_edge(self._edge(), request, message)
        return observation(request, (started_ns, marks[1], marks[2], marks[3]), reply, reply.output)

    def _encoded(self, request: Mapping[str, Any], key: Key, *, real: bool) -> Message:
        """The request's message, its tensor serialised anew each time, before the clock that the recording rules."""
        edge, parameters = self._edge(), self._endpoint.parameters(key)
        payload = codec.serialize(key, self._tensor(key))
        message = edge.encode(payload, parameters, request["request_id"], codec.datatype(key))
        return message if real else edge.encode(b"\0", parameters | {"verb": "anchor"}, request["request_id"])

    def _tensor(self, key: Key) -> NDArray[Any]:
        """What a candidate sends before it is serialised: the picture, or a stand-in for the activation."""
        if key not in self._tensors:
            self._tensors[key] = self._picture(key) if key.candidate == "edge-only" else self._activation(key)
        return self._tensors[key]

    def _picture(self, key: Key) -> NDArray[Any]:
        picture = inputs.photograph(self._model.input_shape)
        return zoo.preprocess(self._model, picture) if key.wire_format == "float32" else picture

    def _activation(self, key: Key) -> NDArray[np.float32]:
        if key not in self._plan.payload_bytes:
            raise ValueError(f"{key}: the size of its tensor was not recorded")
        return stand_in(self._plan.payload_bytes[key] // 4)

    def _edge(self) -> Communicator:
        if self._communicator is None:
            raise ValueError("this hardware has no edge; allowed: device-only")
        return self._communicator
