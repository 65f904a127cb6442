"""Which TCP connection a request of the Communicator travels on: a real gRPC server tells, in place of Triton."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from harness.errors import EdgeError
from harness.offloader.communicator import connect
from harness.offloader.connection import Connection
from harness.offloader.endpoint import MultiplexedEndpoint


class Peers:
    """FAKE edge: answers each inference with constant tensors and notes which connection it came on."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def infer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.seen.append(context.peer())
        answer = service_pb2.ModelInferResponse()
        for name, datatype, array in (
            ("OUTPUT", "FP32", np.zeros((1, 10), np.float32)),
            ("TIMES", "INT64", np.arange(4, dtype=np.int64)),
        ):
            answer.outputs.add(name=name, datatype=datatype, shape=array.shape)
            answer.raw_output_contents.append(array.tobytes())
        return answer.SerializeToString()


@pytest.fixture
def peers() -> Iterator[tuple[Peers, str]]:
    peers = Peers()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(peers.infer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield peers, f"127.0.0.1:{port}"
    server.stop(0)


def test_requests_share_the_open_connection_and_a_new_one_is_nobody_elses(peers: tuple[Peers, str]) -> None:
    edge, url = peers
    communicator = connect(Connection(url), MultiplexedEndpoint(), 10.0)
    message = communicator.encode(bytes(1000), {"verb": "echo"}, "r")
    for send in (communicator.send, communicator.send_anew, communicator.send, communicator.send_anew):
        reply = send(message)
        assert reply.output.shape == (1, 10)
        assert reply.edge_ns == (0, 1, 2, 3)
    communicator.close()
    first, new, again, newer = edge.seen
    assert first == again
    assert len({first, new, newer}) == 3


def test_two_communicators_do_not_share_a_connection(peers: tuple[Peers, str]) -> None:
    edge, url = peers
    both = [connect(Connection(url), MultiplexedEndpoint(), 10.0) for _ in range(2)]
    for communicator in both:
        communicator.send(communicator.encode(b"x", {"verb": "echo"}, "r"))
    assert len(set(edge.seen)) == 2
    for communicator in both:
        communicator.close()


def test_no_edge_is_one_line_either_way() -> None:
    communicator = connect(Connection("127.0.0.1:1"), MultiplexedEndpoint(), 2.0)
    message = communicator.encode(b"x", {"verb": "echo"}, "r")
    for send in (communicator.send, communicator.send_anew):
        with pytest.raises(EdgeError, match=r"a request to the edge at 127\.0\.0\.1:1 failed") as caught:
            send(message)
        assert "\n" not in str(caught.value)
    communicator.close()
