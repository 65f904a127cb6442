"""KServe v2 over HTTP/1.1: with the binary tensor extension, and in JSON alone.

`tritonclient` gives the binary messages and reads the answers; the connection is the standard library's, kept open,
so that a message can be encoded before the clock of the link starts.

In JSON a tensor is a list of numbers. A float32 payload is written as FP32 numbers, each as Python writes the same
double (up to 17 digits; it reads back bit for bit). Whatever else a wire format makes, quantised, packed or a JPEG,
travels as UINT8 numbers, one a byte: KServe has no other way to carry bytes in JSON (its BYTES are UTF-8 text). So
the size on the wire depends on the content, 18 to 20 bytes a float32.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferResult

from harness.errors import EdgeError
from harness.offloader.communicator import (
    ASKING_S,
    FP32,
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
from harness.offloader.tls import ssl_context
from harness.results.addresses import split_address

_HEADER_LENGTH = "Inference-Header-Content-Length"
#: What a broken or silent connection raises.
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class HttpMessage:
    """The body of a request, and the header fields that belong to it."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.body)


@dataclass(frozen=True)
class _Answer:
    status: int
    header_length: int | None
    body: bytes


class HttpBinaryCommunicator(Communicator):
    """One HTTP connection to the edge; tensors raw behind a JSON header."""

    def __init__(self, connection: Connection, endpoint: EdgeEndpoint, timeout_s: float) -> None:
        super().__init__(connection, endpoint, timeout_s)
        self._context = None if connection.tls is None else ssl_context(connection.tls)
        self._open = self._new()

    def encode(
        self,
        payload: bytes,
        parameters: Mapping[str, str],
        request_id: str,
        datatype: str = UINT8,  # noqa: ARG002 (raw either way)
    ) -> HttpMessage:
        tensor = InferInput(self._endpoint.input_name, [len(payload)], UINT8)
        tensor.set_data_from_numpy(np.frombuffer(payload, dtype=np.uint8))
        body, header_length = InferenceServerClient.generate_request_body(
            [tensor], request_id=request_id, parameters=dict(parameters)
        )
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(header_length)}
        return HttpMessage(bytes(body), headers)

    def send(self, message: Any, timeout_s: float | None = None) -> Reply:
        return self._reply(self._infer(self._open, message, timeout_s))

    def send_anew(self, message: Any, timeout_s: float | None = None) -> Reply:
        with contextlib.closing(self._new()) as connection:
            return self._reply(self._infer(connection, message, timeout_s))

    def control(self, verb: str, arguments: dict[str, Any], timeout_s: float = 600.0) -> Any:
        message = HttpBinaryCommunicator.encode(self, control_payload(arguments), {"verb": verb}, "")
        answer = self._infer(self._open, message, timeout_s)
        result = InferResult.from_response_body(answer.body, header_length=answer.header_length)
        return json.loads(result.as_numpy("REPLY").tobytes())

    def close(self) -> None:
        self._open.close()

    # -- the server and its repository ------------------------------------------------------------------

    def statistics(self) -> ServerStatistics:
        found = self._asked("GET", f"{self._model()}/stats", timeout_s=self._timeout_s)
        own = json.loads(found.body)["model_stats"][0]["inference_stats"]
        names = ("queue", "compute_input", "compute_infer", "compute_output")
        return ServerStatistics(own["success"]["count"], *(own[name]["ns"] for name in names))

    def load_model(self, config: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        parameters = {"config": json.dumps(config)}
        parameters |= {f"file:{path}": base64.b64encode(content).decode() for path, content in files.items()}
        body = json.dumps({"parameters": parameters}).encode()
        self._asked("POST", f"/v2/repository/models/{self._endpoint.model_name}/load", body, timeout_s=LOADING_S)

    def unload_model(self) -> None:
        self._asked("POST", f"/v2/repository/models/{self._endpoint.model_name}/unload", b"{}")

    def _model_ready(self) -> bool:
        try:
            return self._request(self._open, "GET", f"{self._model()}/ready", timeout_s=ASKING_S).status == 200
        except _BROKEN as error:
            raise NotReachable(_reason(error)) from error

    def _server(self) -> dict[str, str]:
        metadata = json.loads(self._asked("GET", "/v2", waiting=True).body)
        return {"name": metadata["name"], "version": metadata["version"]}

    def _versions(self) -> list[str]:
        try:
            answer = self._request(self._open, "GET", f"/v2/models/{self._endpoint.model_name}", timeout_s=ASKING_S)
        except _BROKEN as error:
            raise NotReachable(_reason(error)) from error
        return list(json.loads(answer.body)["versions"]) if answer.status == 200 else []

    def _index(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self._asked("POST", "/v2/repository/index", b"{}", waiting=True).body)
        return found

    # -- HTTP -------------------------------------------------------------------------------------------

    def _model(self) -> str:
        version = f"/versions/{self.connection.model_version}" if self.connection.model_version else ""
        return f"/v2/models/{self._endpoint.model_name}{version}"

    def _new(self) -> http.client.HTTPConnection:
        host, port = split_address(self.connection.address)
        return _Http(host, port, self._timeout_s, self.connection, self._context)

    def _infer(self, connection: http.client.HTTPConnection, message: HttpMessage, timeout_s: float | None) -> _Answer:
        try:
            answer = self._request(
                connection, "POST", f"{self._model()}/infer", message.body, message.headers, timeout_s=timeout_s
            )
        except _BROKEN as error:
            raise EdgeError(f"a request to the edge at {self.connection.shown} failed: {_reason(error)}") from error
        if answer.status != 200:
            raise EdgeError(
                f"a request to the edge at {self.connection.shown} failed: HTTP {answer.status}: {_error(answer)}"
            )
        return answer

    def _asked(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = ASKING_S, waiting: bool = False
    ) -> _Answer:
        """The answer to something that is no inference. With `waiting` a server out of reach is NotReachable."""
        try:
            answer = self._request(self._open, method, path, body, timeout_s=timeout_s)
        except _BROKEN as error:
            if waiting:
                raise NotReachable(_reason(error)) from error
            raise EdgeError(f"the edge at {self.connection.shown} went away: {_reason(error)}") from error
        if answer.status != 200:
            raise EdgeError(f"the edge at {self.connection.shown} refused: {_error(answer)}")
        return answer

    def _request(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> _Answer:
        """One exchange; a connection that broke is closed, so that the next exchange opens it anew."""
        connection.timeout = timeout_s or self._timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            length = response.getheader(_HEADER_LENGTH)
            return _Answer(response.status, None if length is None else int(length), response.read())
        except BaseException:
            connection.close()
            raise

    def _reply(self, answer: _Answer) -> Reply:
        result = InferResult.from_response_body(answer.body, header_length=answer.header_length)
        output, times = result.as_numpy("OUTPUT"), result.as_numpy("TIMES")
        return Reply(output, tuple(int(t) for t in times), time.monotonic_ns(), len(answer.body))


class HttpJsonCommunicator(HttpBinaryCommunicator):
    """The same connection; request and answer are JSON, tensors lists of numbers."""

    content_dependent: ClassVar[bool] = True

    def encode(
        self, payload: bytes, parameters: Mapping[str, str], request_id: str, datatype: str = UINT8
    ) -> HttpMessage:
        name = self._endpoint.numbers_name if datatype == FP32 else self._endpoint.input_name
        array = _numbers(payload, datatype)
        head = json.dumps({"name": name, "shape": [array.size], "datatype": datatype})
        rest = json.dumps(
            {
                "id": request_id,
                "parameters": dict(parameters),
                "outputs": [{"name": each, "parameters": {"binary_data": False}} for each in ("OUTPUT", "TIMES")],
            }
        )
        # The list is spliced in: a second pass over a text of megabytes would cost as much as the first.
        body = f'{{"inputs":[{head[:-1]},"data":{_text(array)}}}],{rest[1:]}'
        return HttpMessage(body.encode(), {"Content-Type": "application/json"})

    def wire_bytes(self, payload: bytes, datatype: str = UINT8) -> int:
        return len(_text(_numbers(payload, datatype)))

    def echo_payload(self, wire_bytes: int) -> tuple[bytes, str]:
        return _echo_numbers(wire_bytes), FP32


def _numbers(payload: bytes, datatype: str) -> NDArray[Any]:
    return np.frombuffer(payload, dtype=np.float32 if datatype == FP32 else np.uint8)


def _text(array: NDArray[Any]) -> str:
    try:
        return json.dumps(array.tolist(), separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise EdgeError(
            "communicator=http_json: the tensor holds NaN or an infinity, which JSON has no number for; "
            "allowed: communicator=grpc or http_binary"
        ) from None


@functools.lru_cache(maxsize=8)
def _echo_numbers(wire_bytes: int) -> bytes:
    """Float32 numbers like an activation's, whose text is as near below `wire_bytes` as whole numbers come."""
    values = np.random.default_rng(0).standard_normal(max(1, wire_bytes // 12), dtype=np.float32)
    ends = np.cumsum([len(repr(value)) + 1 for value in values.tolist()]) + 1
    count = max(1, int(np.searchsorted(ends, wire_bytes, side="right")))
    return values[:count].tobytes()


class _Http(http.client.HTTPConnection):
    """A connection that knows the server by another name than the address it goes to."""

    def __init__(
        self, host: str, port: int, timeout_s: float, connection: Connection, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._connection, self._context = connection, context

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._connection.server_name)


def _error(answer: _Answer) -> str:
    try:
        return one_line(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return one_line(answer.body[:200].decode(errors="replace")) or "no reason given"


def _reason(error: BaseException) -> str:
    return one_line(error) or type(error).__name__
