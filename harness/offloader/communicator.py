"""The Communicator on the device: KServe v2 over gRPC with raw tensors, one warm connection.

`tritonclient` gives the messages and their conversions. The call itself goes through the channel with bytes on
both sides, because its own `infer()` encodes inside the call and would hide the Protobuf cost in the network's.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferResult, service_pb2, service_pb2_grpc

from harness.errors import EdgeError
from harness.offloader.endpoint import EdgeEndpoint

_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Reply:
    """A parsed answer of the edge. Clock readings are CLOCK_MONOTONIC, in ns."""

    output: NDArray[np.float32]  # class scores [1, classes], or empty for a control request
    edge_ns: tuple[int, ...]  # at the edge: called, input ready, EdgeTL done, tail done
    parsed_ns: int  # on the device, when this object stood
    message_bytes: int  # of the response, Protobuf and all


class Communicator:
    """One gRPC connection to the edge.

    Args:
        url: host:port of Triton's gRPC endpoint.
        endpoint: which model, inputs and parameters an edge wants.
        timeout_s: after which a request counts as failed (EdgeError).
    """

    def __init__(self, url: str, endpoint: EdgeEndpoint, timeout_s: float) -> None:
        self.url = url
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._channel = _channel(url)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._infer = self._channel.unary_unary(_INFER)

    def wait_ready(self, timeout_s: float) -> dict[str, str]:
        """Wait until the edge serves its model; name and version as the server reports them."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                ready = self._stub.ModelReady(
                    service_pb2.ModelReadyRequest(name=self._endpoint.model_name), timeout=2.0
                ).ready
                if ready:
                    metadata = self._stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=2.0)
                    return {"name": metadata.name, "version": metadata.version}
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise EdgeError(f"the edge at {self.url} refused: {_one_line(error.details())}") from error
            if time.monotonic() > deadline:
                raise EdgeError(
                    f"the edge at {self.url} does not serve model {self._endpoint.model_name!r} after {timeout_s:g} s"
                )
            time.sleep(0.05)

    def encode(self, payload: bytes, parameters: dict[str, str], request_id: str) -> bytes:
        """A request message of KServe v2 with the payload as one raw uint8 tensor: the end of `serialize`."""
        tensor = InferInput(self._endpoint.input_name, [len(payload)], "UINT8")
        tensor.set_data_from_numpy(np.frombuffer(payload, dtype=np.uint8))
        message = service_pb2.ModelInferRequest(model_name=self._endpoint.model_name, id=request_id)
        message.inputs.append(tensor._get_tensor())
        message.raw_input_contents.append(tensor._get_content())
        for name, value in parameters.items():
            message.parameters[name].string_param = value
        encoded: bytes = message.SerializeToString()
        return encoded

    def send(self, message: bytes, timeout_s: float | None = None) -> Reply:
        """Hand an encoded request to gRPC and wait for the parsed answer. Raises EdgeError."""
        return _reply(self._call(self._infer, message, timeout_s))

    def send_anew(self, message: bytes, timeout_s: float | None = None) -> Reply:
        """The same on a connection of its own, which is made for this request and closed after it."""
        with _channel(self.url) as channel:
            return _reply(self._call(channel.unary_unary(_INFER), message, timeout_s))

    def control(self, verb: str, arguments: dict[str, Any], timeout_s: float = 600.0) -> Any:
        """A request of ours to our own edge model that is no inference: load, prepare, time, describe."""
        message = self.encode(json.dumps(arguments).encode(), {"verb": verb}, "")
        result = InferResult(service_pb2.ModelInferResponse.FromString(self._call(self._infer, message, timeout_s)))
        return json.loads(result.as_numpy("REPLY").tobytes())

    def close(self) -> None:
        self._channel.close()

    def _call(self, infer: grpc.UnaryUnaryMultiCallable, message: bytes, timeout_s: float | None) -> bytes:
        try:
            answer: bytes = infer(message, timeout=timeout_s or self._timeout_s)
        except grpc.RpcError as error:
            raise EdgeError(
                f"a request to the edge at {self.url} failed: {error.code().name}: {_one_line(error.details())}"
            ) from error
        return answer


def _channel(url: str) -> grpc.Channel:
    return grpc.insecure_channel(
        url,
        options=[
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            # Channels to one address would share a connection, and a new one would not be new.
            ("grpc.use_local_subchannel_pool", 1),
            # Its pings would break a silence on the uplink; what they size, the window for responses, is never full.
            ("grpc.http2.bdp_probe", 0),
        ],
    )


def _reply(answer: bytes) -> Reply:
    result = InferResult(service_pb2.ModelInferResponse.FromString(answer))
    output, times = result.as_numpy("OUTPUT"), result.as_numpy("TIMES")
    return Reply(output, tuple(int(t) for t in times), time.monotonic_ns(), len(answer))


def _one_line(details: object) -> str:
    """TensorFlow's own errors run over several lines."""
    return " ".join(str(details).split())
