"""KServe v2 over gRPC with raw tensors.

`tritonclient` gives the messages and their conversions. The call itself goes through the channel with bytes on
both sides, because its own `infer()` encodes inside the call and would hide the Protobuf cost in the network's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
import numpy as np
from tritonclient.grpc import InferInput, InferResult, service_pb2, service_pb2_grpc

from harness.errors import EdgeError
from harness.offloader.communicator import (
    ASKING_S,
    LOADING_S,
    UINT8,
    Communicator,
    NotReachable,
    Reply,
    ServerStatistics,
    control_payload,
    one_line,
)
from harness.offloader.connection import Connection
from harness.offloader.endpoint import EdgeEndpoint

_INFER = "/inference.GRPCInferenceService/ModelInfer"

T = TypeVar("T")


class GrpcCommunicator(Communicator):
    """One gRPC connection to the edge."""

    def __init__(self, connection: Connection, endpoint: EdgeEndpoint, timeout_s: float) -> None:
        super().__init__(connection, endpoint, timeout_s)
        self._channel = _channel(connection)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._infer = self._channel.unary_unary(_INFER)

    def encode(self, payload: bytes, parameters: Mapping[str, str], request_id: str, datatype: str = UINT8) -> bytes:  # noqa: ARG002 (raw either way)
        tensor = InferInput(self._endpoint.input_name, [len(payload)], UINT8)
        tensor.set_data_from_numpy(np.frombuffer(payload, dtype=np.uint8))
        message = service_pb2.ModelInferRequest(
            model_name=self._endpoint.model_name, model_version=self.connection.model_version, id=request_id
        )
        message.inputs.append(tensor._get_tensor())
        message.raw_input_contents.append(tensor._get_content())
        for name, value in parameters.items():
            message.parameters[name].string_param = value
        encoded: bytes = message.SerializeToString()
        return encoded

    def send(self, message: Any, timeout_s: float | None = None) -> Reply:
        return _reply(self._call(self._infer, message, timeout_s))

    def send_anew(self, message: Any, timeout_s: float | None = None) -> Reply:
        with _channel(self.connection) as channel:
            return _reply(self._call(channel.unary_unary(_INFER), message, timeout_s))

    def control(self, verb: str, arguments: dict[str, Any], timeout_s: float = 600.0) -> Any:
        message = self.encode(control_payload(arguments), {"verb": verb}, "")
        result = InferResult(service_pb2.ModelInferResponse.FromString(self._call(self._infer, message, timeout_s)))
        return json.loads(result.as_numpy("REPLY").tobytes())

    def close(self) -> None:
        self._channel.close()

    # -- the server and its repository ------------------------------------------------------------------

    def statistics(self) -> ServerStatistics:
        request = service_pb2.ModelStatisticsRequest(
            name=self._endpoint.model_name, version=self.connection.model_version
        )
        found = self._asked(lambda: self._stub.ModelStatistics(request, timeout=self._timeout_s)).model_stats[0]
        own = found.inference_stats
        return ServerStatistics(
            own.success.count, own.queue.ns, own.compute_input.ns, own.compute_infer.ns, own.compute_output.ns
        )

    def load_model(self, config: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=self._endpoint.model_name)
        request.parameters["config"].string_param = json.dumps(config)
        for path, content in files.items():
            request.parameters[f"file:{path}"].bytes_param = content
        self._asked(lambda: self._stub.RepositoryModelLoad(request, timeout=LOADING_S))

    def unload_model(self) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=self._endpoint.model_name)
        self._asked(lambda: self._stub.RepositoryModelUnload(request, timeout=self._timeout_s))

    def _model_ready(self) -> bool:
        request = service_pb2.ModelReadyRequest(name=self._endpoint.model_name, version=self.connection.model_version)
        return bool(self._asked(lambda: self._stub.ModelReady(request, timeout=ASKING_S), waiting=True).ready)

    def _server(self) -> dict[str, str]:
        request = service_pb2.ServerMetadataRequest()
        metadata = self._asked(lambda: self._stub.ServerMetadata(request, timeout=ASKING_S), waiting=True)
        return {"name": metadata.name, "version": metadata.version}

    def _versions(self) -> list[str]:
        request = service_pb2.ModelMetadataRequest(name=self._endpoint.model_name)
        try:
            return list(self._stub.ModelMetadata(request, timeout=ASKING_S).versions)
        except grpc.RpcError:
            return []

    def _index(self) -> list[dict[str, str]]:
        request = service_pb2.RepositoryIndexRequest()
        found = self._asked(lambda: self._stub.RepositoryIndex(request, timeout=ASKING_S), waiting=True)
        return [
            {"name": own.name, "version": own.version, "state": own.state, "reason": own.reason} for own in found.models
        ]

    def _asked(self, call: Callable[[], T], *, waiting: bool = False) -> T:
        """The answer to something that is no inference. With `waiting` a server out of reach is NotReachable."""
        try:
            return call()
        except grpc.RpcError as error:
            details = one_line(error.details())
            if waiting and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise NotReachable(details) from error
            raise EdgeError(f"the edge at {self.connection.shown} refused: {details}") from error

    def _call(self, infer: grpc.UnaryUnaryMultiCallable, message: bytes, timeout_s: float | None) -> bytes:
        try:
            answer: bytes = infer(message, timeout=timeout_s or self._timeout_s)
        except grpc.RpcError as error:
            raise EdgeError(
                f"a request to the edge at {self.connection.shown} failed: {error.code().name}: "
                f"{one_line(error.details())}"
            ) from error
        return answer


def _channel(connection: Connection) -> grpc.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", 0),
        # Channels to one address would share a connection, and a new one would not be new.
        ("grpc.use_local_subchannel_pool", 1),
        # Its pings would break a silence on the uplink; what they size, the window for responses, is never full.
        ("grpc.http2.bdp_probe", 0),
    ]
    tls = connection.tls
    if tls is None:
        return grpc.insecure_channel(connection.address, options=options)
    credentials = grpc.ssl_channel_credentials(
        *(None if pem is None else pem.encode() for pem in (tls.ca, tls.key, tls.certificate))
    )
    options.append(("grpc.ssl_target_name_override", connection.server_name))
    return grpc.secure_channel(connection.address, credentials, options=options)


def _reply(answer: bytes) -> Reply:
    result = InferResult(service_pb2.ModelInferResponse.FromString(answer))
    output, times = result.as_numpy("OUTPUT"), result.as_numpy("TIMES")
    return Reply(output, tuple(int(t) for t in times), time.monotonic_ns(), len(answer))
