"""The device's side of a deployment: its half, the wire format, and the call to the edge, with a clock on each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from harness.dnn import inputs, zoo
from harness.errors import DeviceError
from harness.offloader import codec
from harness.offloader.classification import Answer, answer
from harness.offloader.communicator import Communicator, Reply
from harness.offloader.device import Pace, observation
from harness.offloader.endpoint import PerCutEndpoint
from harness.offloader.observation import Observation
from harness.preprocessor.halves import Half
from harness.preprocessor.manifest import Manifest
from harness.results.schema import Key
from harness.transfer import wire


def model_spec(manifest: Manifest) -> zoo.ModelSpec:
    """The deployed network as the zoo knows it: its input and its preprocessing, not its weights."""
    model = manifest.model
    return zoo.ModelSpec(model["name"], model["architecture"], manifest.input_shape, model["preprocessing"])


class DeployedRuntime:
    """A device that runs one half of a deployment.

    Args:
        device: `device.keras`, loaded. edge: `edge.keras`, to know offline what comes over the link.
        slowdown: of the emulated board.
    """

    def __init__(
        self, manifest: Manifest, device: Half, edge: Half, communicator: Communicator, slowdown: float
    ) -> None:
        self._manifest = manifest
        self._device, self._edge = device, edge
        self._communicator = communicator
        self._endpoint = PerCutEndpoint(manifest.triton_model, manifest.key)
        self._factor = slowdown
        self._spec = model_spec(manifest)
        self._wire_format = wire.get(manifest.key.wire_format)
        self._input = zoo.preprocess(self._spec, inputs.photograph(manifest.input_shape))

    def run(self, request: Mapping[str, Any]) -> Observation:
        """Run one planned request, as `DeviceRuntime.run` does. Raises DeviceError for what a deployment cannot do."""
        if request["kind"] != "measure":
            raise DeviceError(f"a deployment knows no request of kind {request['kind']!r}; allowed: measure")
        parameters = self._endpoint.parameters(Key.parse(str(request["name"])))
        time.sleep((request["idle_ms"] + request["pause_ms"]) / 1e3)
        pace = Pace(self._factor if request["paced"] else 1.0)
        started_ns = pace.start()
        tensor = self._device(self._input)
        head_ns = pace.finish()
        payload = self._wire_format.serialize(tensor)
        datatype = codec.datatype(self._manifest.key)
        message = self._communicator.encode(payload, parameters, request["request_id"], datatype)
        handed_ns = pace.finish()
        anew = request["connection"] == "new"
        reply: Reply = (self._communicator.send_anew if anew else self._communicator.send)(message)
        return observation(request, (started_ns, head_ns, head_ns, handed_ns), reply, reply.output, fused=True)

    def classify(self, key: Key, picture: NDArray[Any]) -> Answer:
        """A picture, uint8 [1, height, width, 3], over the link and offline; DeviceError for another candidate."""
        parameters = self._endpoint.parameters(key)
        started_ns = time.monotonic_ns()
        payload = self._wire_format.serialize(self._device(zoo.preprocess(self._spec, picture)))
        reply = self._communicator.send(self._communicator.encode(payload, parameters, "", codec.datatype(key)))
        shape = self._manifest.tensors["payload"].shape
        offline = self._edge(self._wire_format.deserialize(payload, shape))
        return answer(reply.output, offline, started_ns, reply.parsed_ns)
