"""The message of a request, without a server."""

from __future__ import annotations

from concurrent import futures

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from harness.errors import EdgeError
from harness.offloader.communicator import Communicator, connect
from harness.offloader.connection import Connection
from harness.offloader.endpoint import MultiplexedEndpoint
from harness.results.schema import Key

CLOSED = "127.0.0.1:1"  # tcpmux: nobody listens there


@pytest.fixture(scope="module")
def communicator() -> Communicator:
    return connect(Connection(CLOSED), MultiplexedEndpoint(), 5.0)


@given(
    payload=st.binary(max_size=300),
    parameters=st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=30), max_size=3),
    request_id=st.text(max_size=20),
)
def test_a_message_parses_back_with_its_payload_intact(
    communicator: Communicator, payload: bytes, parameters: dict[str, str], request_id: str
) -> None:
    message = service_pb2.ModelInferRequest.FromString(communicator.encode(payload, parameters, request_id))
    assert (message.model_name, message.id) == ("scission", request_id)
    assert {name: value.string_param for name, value in message.parameters.items()} == parameters
    (tensor,) = message.inputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("PAYLOAD", "UINT8", [len(payload)])
    assert list(message.raw_input_contents) == [payload]


def test_framing_does_not_grow_with_the_payload(communicator: Communicator) -> None:
    array = np.random.default_rng(0).integers(0, 256, 800_000, dtype=np.uint8)
    key = Key("split", 139, "maxpool")
    message = communicator.encode(array.tobytes(), MultiplexedEndpoint().parameters(key), "measure-12")
    assert 0 < len(message) - array.size < 200


def test_the_candidate_travels_as_a_parameter() -> None:
    key = Key("split", 51, "maxpool")
    parameters = MultiplexedEndpoint().parameters(key)
    assert parameters["verb"] == "infer"
    assert Key.parse(parameters["candidate"]) == key


def test_an_edge_that_is_not_there_is_one_line(communicator: Communicator) -> None:
    with pytest.raises(EdgeError) as caught:
        communicator.send(communicator.encode(b"x", {"verb": "echo"}, "r"))
    assert "\n" not in str(caught.value)
    assert CLOSED in str(caught.value)
    with pytest.raises(EdgeError, match=r"does not serve model 'scission' after 0\.1 s"):
        communicator.wait_ready(0.1)


def test_an_error_of_several_lines_becomes_one() -> None:
    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, "InvalidArgumentError: shapes\n\t [[{{node tail}}]]\n differ")
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(1))
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    own = connect(Connection(f"127.0.0.1:{port}"), MultiplexedEndpoint(), 5.0)
    with pytest.raises(EdgeError) as caught:
        own.send(own.encode(b"x", {"verb": "echo"}, "r"))
    assert str(caught.value).endswith("INTERNAL: InvalidArgumentError: shapes [[{{node tail}}]] differ")
    own.close()
    server.stop(0)
