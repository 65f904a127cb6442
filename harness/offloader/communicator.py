"""The Communicator on the device: KServe v2 over one warm connection. What every protocol has in common.

    grpc         Protobuf over HTTP/2, the tensor raw              harness.offloader.grpc_communicator
    http_binary  HTTP/1.1, JSON header and the tensor raw behind    harness.offloader.http_communicator
    http_json    HTTP/1.1, the tensor as JSON numbers               harness.offloader.http_communicator

Encoding a message and handing it over are two steps, so that a clock can be read between them.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import EdgeError
from harness.offloader.connection import Connection
from harness.offloader.endpoint import EdgeEndpoint

#: What a payload consists of, for a protocol that writes numbers and not bytes.
FP32, UINT8 = "FP32", "UINT8"
#: How long somebody else's server may be silent before it counts as out of reach.
EXTERNAL_PATIENCE_S = 10.0
#: What a question about the server may take.
ASKING_S = 2.0
#: Loading imports TensorFlow, on a cold disk for a minute.
LOADING_S = 300.0


class Message(Protocol):
    """An encoded request; its length is that of the body, without what the transport puts around it."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Reply:
    """A parsed answer of the edge. Clock readings are CLOCK_MONOTONIC, in ns."""

    output: NDArray[np.float32]  # class scores [1, classes], or empty for a control request
    edge_ns: tuple[int, ...]  # at the edge: called, input ready, EdgeTL done, tail done
    parsed_ns: int  # on the device, when this object stood
    message_bytes: int  # of the response, all of its body


@dataclass(frozen=True)
class ServerStatistics:
    """Triton's own count of a model's requests since it was loaded, and their summed times in ns (its statistics
    extension): waiting in its queue, copying inputs, inside the backend, copying outputs."""

    requests: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


class NotReachable(Exception):
    """The server did not answer at all (yet). The text says why."""


class Communicator(ABC):
    """One connection to the edge.

    Args:
        connection: where and how.
        endpoint: which model, inputs and parameters an edge wants.
        timeout_s: after which a request counts as failed (EdgeError).
    """

    #: Whether the size of a payload on the wire depends on the numbers in it.
    content_dependent: ClassVar[bool] = False

    def __init__(self, connection: Connection, endpoint: EdgeEndpoint, timeout_s: float) -> None:
        self.connection = connection
        self._endpoint = endpoint
        self._timeout_s = timeout_s

    # -- requests ---------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, payload: bytes, parameters: Mapping[str, str], request_id: str, datatype: str = UINT8) -> Message:
        """A request message of KServe v2 with the payload as one tensor: the end of `serialize`.

        Args:
            datatype: what the payload's bytes are: `UINT8` (bytes), or `FP32`, which counts where numbers are written.
        """

    @abstractmethod
    def send(self, message: Any, timeout_s: float | None = None) -> Reply:
        """Hand an encoded request over and wait for the parsed answer. Raises EdgeError."""

    @abstractmethod
    def send_anew(self, message: Any, timeout_s: float | None = None) -> Reply:
        """The same on a connection of its own, which is made for this request and closed after it."""

    @abstractmethod
    def control(self, verb: str, arguments: dict[str, Any], timeout_s: float = 600.0) -> Any:
        """A request of ours to our own edge model that is no inference: load, prepare, time, describe."""

    def wire_bytes(self, payload: bytes, datatype: str = UINT8) -> int:  # noqa: ARG002 (here nothing depends on it)
        """What a payload's tensor weighs on the wire, without framing."""
        return len(payload)

    def echo_payload(self, wire_bytes: int) -> tuple[bytes, str]:
        """A payload that weighs (nearly) so much on the wire, and its datatype."""
        return bytes(wire_bytes), UINT8

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    # -- the server and its repository ------------------------------------------------------------------

    @abstractmethod
    def statistics(self) -> ServerStatistics:
        """What the server counted for this model so far. Raises EdgeError."""

    @abstractmethod
    def load_model(self, config: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Load the endpoint's model through the repository API, its files sent along (`file:` parameters).

        Args:
            config: of the model, as `config.pbtxt` has it.
            files: by path below the model's folder, e.g. `1/model.py`.

        Raises:
            EdgeError: the server does not allow it (it needs --model-control-mode=explicit), or the model fails.
        """

    @abstractmethod
    def unload_model(self) -> None:
        """The reverse. Raises EdgeError."""

    @abstractmethod
    def _model_ready(self) -> bool:
        """Whether the server serves the model (in the version asked for). Raises NotReachable or EdgeError."""

    @abstractmethod
    def _server(self) -> dict[str, str]:
        """Name and version as the server reports them. Raises NotReachable or EdgeError."""

    @abstractmethod
    def _versions(self) -> list[str]:
        """Versions of the model that the server has ready. Raises NotReachable or EdgeError."""

    @abstractmethod
    def _index(self) -> list[dict[str, str]]:
        """The server's repository: name, version, state and reason of each model. Raises NotReachable or EdgeError."""

    def wait_ready(self, timeout_s: float) -> dict[str, str]:
        """Wait until the edge serves its model; name and version as the server reports them.

        An external server that answers, but has not the model, is not waited for.

        Raises:
            EdgeError: it does not serve the model in time, or cannot.
        """
        patience_s = min(timeout_s, EXTERNAL_PATIENCE_S) if self.connection.external else timeout_s
        deadline = time.monotonic() + timeout_s
        out_of_reach = time.monotonic() + patience_s
        while True:
            silent = ""
            try:
                if self._model_ready():
                    return self._server()
                if self.connection.external:
                    self._require_in_the_making()
            except NotReachable as error:
                silent = f": {error}"
            if time.monotonic() > (out_of_reach if silent else deadline):
                what = (
                    "cannot be reached"
                    if silent and self.connection.external
                    else (f"does not serve model {self._endpoint.model_name!r}")
                )
                waited_s = patience_s if silent else timeout_s
                raise EdgeError(f"the edge at {self.connection.shown} {what} after {waited_s:g} s{silent}")
            time.sleep(0.05)

    def _require_in_the_making(self) -> None:
        """Raise EdgeError, saying what the server has, unless the model is just being loaded."""
        name, wanted = self._endpoint.model_name, self.connection.model_version
        found = self._index()
        own = [entry for entry in found if entry.get("name") == name]
        if any(entry.get("state") == "LOADING" for entry in own):
            return
        ready = self._versions()  # the index has none that came through the repository API
        where = f"the edge at {self.connection.shown}"
        if wanted and ready:
            raise EdgeError(
                f"{where} has model {name!r} in version {', '.join(ready)}, not {wanted}; allowed: "
                f"hardware.edge.model_version={ready[0]}, or null for the server's choice"
            )
        reasons = [entry["reason"] for entry in own if entry.get("reason")]
        if reasons and reasons[0] != "unloaded":
            raise EdgeError(f"{where} could not load model {name!r}: {one_line(reasons[0])}")
        others = sorted({entry["name"] for entry in found if entry.get("state") == "READY"})
        raise EdgeError(
            f"{where} does not serve model {name!r}, but {', '.join(others) or 'none'}; lay it out there "
            "(python -m harness.offloader.shipping FOLDER; a deployment: its folder triton/python), or send it with "
            "hardware.edge.models=load to a server in --model-control-mode=explicit"
        )


def connect(connection: Connection, endpoint: EdgeEndpoint, timeout_s: float) -> Communicator:
    """The Communicator of the connection's protocol; nothing is sent yet. Raises ValueError for no such protocol."""
    if connection.protocol == "grpc":
        from harness.offloader.grpc_communicator import GrpcCommunicator

        return GrpcCommunicator(connection, endpoint, timeout_s)
    from harness.offloader.http_communicator import HttpBinaryCommunicator, HttpJsonCommunicator

    if connection.protocol == "http_binary":
        return HttpBinaryCommunicator(connection, endpoint, timeout_s)
    if connection.protocol == "http_json":
        return HttpJsonCommunicator(connection, endpoint, timeout_s)
    raise ValueError(f"no protocol {connection.protocol!r}; allowed: grpc, http_binary, http_json")


def control_payload(arguments: Mapping[str, Any]) -> bytes:
    """The payload of a control request."""
    return json.dumps(arguments).encode()


def one_line(details: object) -> str:
    """TensorFlow's own errors run over several lines."""
    return " ".join(str(details).split())
