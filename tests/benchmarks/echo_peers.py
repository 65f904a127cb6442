"""The processes inside the two namespaces: a bare gRPC echo at the edge, and what calls it and Triton on the device.

    python echo_peers.py serve ADDRESS ANSWER_BYTES
    python echo_peers.py call TRITON_ADDRESS BARE_ADDRESS

`serve` answers every request with ANSWER_BYTES. `call` reads a line of JSON {way, bytes} a round trip from its
standard input, and writes a line {ms, sent, answered}: time, and the bytes of both messages.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent import futures

import grpc

from harness.offloader.communicator import connect
from harness.offloader.connection import Connection
from harness.offloader.endpoint import MultiplexedEndpoint

METHOD = "/bare.Echo/Echo"
NO_LIMIT = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def serve(address: str, answer_bytes: int) -> None:
    answer = bytes(answer_bytes)
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: answer)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=NO_LIMIT)
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def call(triton: str, bare: str) -> None:
    ways: dict[str, Callable[[int], tuple[int, int]]] = {"communicator": communicator(triton), "bare": bare_grpc(bare)}
    for line in sys.stdin:
        order = json.loads(line)
        started_ns = time.monotonic_ns()
        sent, answered = ways[order["way"]](order["bytes"])
        ms = (time.monotonic_ns() - started_ns) / 1e6
        print(json.dumps({"ms": ms, "sent": sent, "answered": answered}), flush=True)


def communicator(address: str) -> Callable[[int], tuple[int, int]]:
    """Encoding, the call, the parsed answer: all that the Offloader does with a payload."""
    connection = connect(Connection(address), MultiplexedEndpoint(), 60.0)

    def round_trip(payload_bytes: int) -> tuple[int, int]:
        message = connection.encode(bytes(payload_bytes), {"verb": "echo"}, "")
        return len(message), connection.send(message).message_bytes

    return round_trip


def bare_grpc(address: str) -> Callable[[int], tuple[int, int]]:
    """The same bytes as they are: no Protobuf, no server model."""
    channel = grpc.insecure_channel(address, options=[*NO_LIMIT, ("grpc.enable_http_proxy", 0)])
    echo = channel.unary_unary(METHOD)

    def round_trip(message_bytes: int) -> tuple[int, int]:
        return message_bytes, len(echo(bytes(message_bytes), timeout=60.0, wait_for_ready=True))

    return round_trip


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        call(*sys.argv[2:])
