"""Messages of the HTTP protocols, without a server; and a server that is none."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EdgeError
from harness.offloader.communicator import Communicator, connect
from harness.offloader.connection import Connection, Tls
from harness.offloader.endpoint import MultiplexedEndpoint
from harness.results.addresses import split_address

CLOSED = "127.0.0.1:1"

float32s = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40)


def to(protocol: str) -> Communicator:
    return connect(Connection(CLOSED, protocol), MultiplexedEndpoint(), 2.0)


@given(numbers=float32s)
def test_json_reads_back_bit_for_bit_and_its_size_is_known_before(numbers: list[float]) -> None:
    payload = np.array(numbers, np.float32).tobytes()
    own = to("http_json")
    message = own.encode(payload, {"verb": "infer"}, "r-1", "FP32")
    record = json.loads(message.body)  # type: ignore[attr-defined]
    assert (record["id"], record["parameters"]) == ("r-1", {"verb": "infer"})
    (tensor,) = record["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("NUMBERS", "FP32", [len(numbers)])
    assert np.array(tensor["data"], np.float32).tobytes() == payload
    assert all(each["parameters"] == {"binary_data": False} for each in record["outputs"])
    assert 0 < len(message) - own.wire_bytes(payload, "FP32") < 300


@given(payload=st.binary(min_size=1, max_size=60))
def test_json_carries_any_other_payload_as_bytes(payload: bytes) -> None:
    (tensor,) = json.loads(to("http_json").encode(payload, {}, "").body)["inputs"]  # type: ignore[attr-defined]
    assert (tensor["name"], tensor["datatype"]) == ("PAYLOAD", "UINT8")
    assert bytes(tensor["data"]) == payload


@given(payload=st.binary(max_size=300))
def test_binary_has_the_payload_behind_its_header(payload: bytes) -> None:
    own = to("http_binary")
    message = own.encode(payload, {"verb": "infer"}, "r", "FP32")
    length = int(message.headers["Inference-Header-Content-Length"])  # type: ignore[attr-defined]
    body = message.body  # type: ignore[attr-defined]
    assert json.loads(body[:length])["parameters"]["verb"] == "infer"
    assert body[length:] == payload
    assert own.wire_bytes(payload, "FP32") == len(payload)


@pytest.mark.parametrize("size", [2000, 60_000, 400_000])
def test_an_echo_weighs_what_it_is_asked_to(size: int) -> None:
    own = to("http_json")
    payload, datatype = own.echo_payload(size)
    assert size - 30 < own.wire_bytes(payload, datatype) <= size
    assert 15 < own.wire_bytes(payload, datatype) / (len(payload) / 4) < 22  # characters a float32
    assert to("http_binary").echo_payload(size) == (bytes(size), "UINT8")


def test_what_json_has_no_number_for_is_one_line() -> None:
    with pytest.raises(EdgeError, match=r"holds NaN or an infinity.*allowed: communicator=grpc"):
        to("http_json").encode(struct.pack("<f", float("nan")), {}, "", "FP32")


@pytest.mark.parametrize("protocol", ["http_binary", "http_json"])
def test_an_edge_that_is_not_there_is_one_line(protocol: str) -> None:
    own = to(protocol)
    message = own.encode(b"x", {}, "")
    for send in (own.send, own.send_anew):
        with pytest.raises(EdgeError, match=rf"a request to the edge at {CLOSED} failed: .*refused") as caught:
            send(message)
        assert "\n" not in str(caught.value)
    with pytest.raises(EdgeError, match=r"does not serve model 'scission' after 0\.1 s"):
        own.wait_ready(0.1)


def test_no_such_protocol() -> None:
    with pytest.raises(ValueError, match="no protocol 'smtp'; allowed: grpc, http_binary, http_json"):
        connect(Connection(CLOSED, "smtp"), MultiplexedEndpoint(), 1.0)


def test_a_connection_crosses_the_agents_socket_whole() -> None:
    own = Connection("198.18.0.2:8001", "grpc", "edge:8001", Tls("ca", "c", "k", "name"), "3", external=True)
    assert Connection.of(json.loads(json.dumps(own.record()))) == own
    assert (own.shown, own.server_name) == ("edge:8001", "name")
    assert Connection("h:1").server_name == "h"


@pytest.mark.parametrize(
    ("text", "found"),
    [("edge:8001", ("edge", 8001)), ("[2001:db8::7]:1", ("2001:db8::7", 1)), ("1.2.3.4:65535", ("1.2.3.4", 65535))],
)
def test_an_address(text: str, found: tuple[str, int]) -> None:
    assert split_address(text) == found


@pytest.mark.parametrize(
    "text", ["edge", ":8001", "edge:", "edge:0", "edge:65536", "2001:db8::7:1", "http://e:1", "e:x"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        split_address(text)
