"""An external Triton on an address of its own: its models by the repository API, every protocol, TLS, errors.

The edge model replays, so that no server has to import TensorFlow.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import EdgeError
from harness.offloader import codec, shipping
from harness.offloader.communicator import Communicator, connect
from harness.offloader.connection import Connection, Tls
from harness.offloader.endpoint import MultiplexedEndpoint
from harness.offloader.tls import ssl_context
from harness.results.schema import Key
from harness.testbed.external import require_reachable
from tests.offloader.external_triton import HOST, Authority, Server, free_port, running

pytestmark = pytest.mark.triton

PROTOCOLS = ("grpc", "http_binary", "http_json")
SPLIT = Key("split", 7, "maxpool")
RECORD = {
    "terms_ms": {str(SPLIT): {"deserialize": 0.5, "edge_tl": 0.5, "edge": 4.0}},
    "payload_bytes": {str(SPLIT): 4000},
    "classes": 10,
}
LOAD = {"model": {"input_shape": [8, 8, 3]}, "recording": RECORD}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("external")
    (folder / "models").mkdir()
    with running(folder, folder / "models", "--model-control-mode=explicit") as found:
        yield found


def to(server: Server, protocol: str, version: str = "") -> Communicator:
    address = server.grpc if protocol == "grpc" else server.http
    connection = Connection(address, protocol, model_version=version, external=True)
    return connect(connection, MultiplexedEndpoint(), 20.0)


@pytest.fixture(scope="module")
def loaded(server: Server) -> Server:
    own = to(server, "grpc")
    own.load_model(shipping.config(), shipping.files())
    assert own.wait_ready(30.0)["name"] == "triton"
    own.control("load", LOAD)
    own.close()
    return server


def line(error: pytest.ExceptionInfo[EdgeError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_that_is_not_there_is_one_line_at_once(server: Server, protocol: str) -> None:
    own = connect(replace(to(server, protocol).connection), NoSuch(), 20.0)
    with pytest.raises(EdgeError) as caught:
        own.wait_ready(30.0)
    assert "does not serve model 'nothing', but " in line(caught)
    assert "python -m harness.offloader.shipping FOLDER" in line(caught)


class NoSuch(MultiplexedEndpoint):
    model_name = "nothing"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_version_is_one_line_that_names_the_right_one(loaded: Server, protocol: str) -> None:
    assert to(loaded, protocol, "1").wait_ready(5.0)["version"]
    with pytest.raises(EdgeError) as caught:
        to(loaded, protocol, "9").wait_ready(30.0)
    assert "has model 'scission' in version 1, not 9; allowed: hardware.edge.model_version=1" in line(caught)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_carries_a_request_and_the_server_counts_it(loaded: Server, protocol: str) -> None:
    own = to(loaded, protocol)
    before = own.statistics()
    payload = np.linspace(-1, 1, 1000, dtype=np.float32).tobytes()
    parameters = MultiplexedEndpoint().parameters(SPLIT)
    for send in (own.send, own.send_anew):
        reply = send(own.encode(payload, parameters, "r", codec.datatype(SPLIT)))
        assert reply.output.shape == (1, 10)
        called, ready, expanded, done = reply.edge_ns
        assert done - called >= 5_000_000
        assert called <= ready <= expanded <= done
        assert reply.message_bytes > 40
    after = own.statistics()
    assert after.requests - before.requests == 2
    assert after.compute_infer_ns - before.compute_infer_ns >= 10_000_000
    with pytest.raises(EdgeError) as caught:
        own.send(own.encode(payload[:4], parameters | {"candidate": "split/9/none/float32"}, "r"))
    assert "split/9/none/float32 was not recorded" in line(caught)
    own.close()


def test_json_carries_the_very_numbers(loaded: Server, tmp_path: Path) -> None:
    """The model is replaced by one that answers with what it got, bit for bit."""
    own = connect(to(loaded, "http_json").connection, Mirror(), 20.0)
    own.load_model(
        {**shipping.config(), "name": "mirror"}, {"1/model.py": _MIRROR.encode(), "1/inner/own.py": b"X = 1\n"}
    )
    random = np.random.default_rng(1)
    numbers = np.concatenate([
        random.standard_normal(5000).astype(np.float32),
        np.array([0, -0.0, 1e-45, 3.4e38, 1 / 3, 6.0], np.float32),
    ])  # fmt: skip
    reply = own.send(own.encode(numbers.tobytes(), {}, "", "FP32"))
    assert reply.output.tobytes() == numbers.tobytes()
    reply = own.send(own.encode(bytes(range(256)), {}, ""))
    assert reply.output.ravel().tolist() == list(range(256))
    own.unload_model()
    with pytest.raises(EdgeError, match="does not serve model 'mirror'"):
        own.wait_ready(5.0)


class Mirror(MultiplexedEndpoint):
    model_name = "mirror"


_MIRROR = """
import sys
from pathlib import Path
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        sys.path.insert(0, str(Path(args["model_repository"], args["model_version"], "inner")))
        import own
    def execute(self, requests):
        found = []
        for request in requests:
            given = pb_utils.get_input_tensor_by_name(request, "PAYLOAD")
            given = given or pb_utils.get_input_tensor_by_name(request, "NUMBERS")
            array = given.as_numpy().astype(np.float32)[None]
            answer = [pb_utils.Tensor("OUTPUT", array), pb_utils.Tensor("TIMES", np.zeros(4, np.int64))]
            found.append(pb_utils.InferenceResponse(answer))
        return found
"""


def test_a_server_that_forbids_loading_says_so(tmp_path: Path) -> None:
    shipping.lay_out(tmp_path / "models")
    with running(tmp_path, tmp_path / "models") as found:
        own = to(found, "http_binary")
        assert own.wait_ready(30.0)["name"] == "triton"
        own.control("load", LOAD)
        with pytest.raises(EdgeError, match=r"refused: .*not allowed") as caught:
            own.load_model(shipping.config(), shipping.files())
        assert "\n" not in str(caught.value)


# -- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program")
    return Authority(tmp_path_factory.mktemp("authority"))


def serving(authority: Authority, certificate: tuple[Path, Path], *more: str) -> list[str]:
    return [
        "--model-control-mode=explicit", "--grpc-use-ssl=true", f"--grpc-server-cert={certificate[0]}",
        f"--grpc-server-key={certificate[1]}", *more,
    ]  # fmt: skip


def secured(server: Server, **tls: str | None) -> Connection:
    return Connection(server.grpc, "grpc", tls=Tls(**tls), external=True)


def test_tls_with_client_certificates(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.certificate("edge", alternative="DNS:edge.example")
    client = authority.certificate("device", alternative="DNS:device")
    (tmp_path / "models").mkdir()
    ca = authority.ca.read_text()
    more = [f"--grpc-root-cert={authority.ca}", "--grpc-use-ssl-mutual=true"]
    with running(tmp_path, tmp_path / "models", *serving(authority, certificate, *more)) as server:
        named = secured(
            server, ca=ca, server_name="edge.example", certificate=client[0].read_text(), key=client[1].read_text()
        )
        require_reachable(named)
        own = connect(named, MultiplexedEndpoint(), 10.0)
        own.load_model(shipping.config(), shipping.files())
        own.wait_ready(20.0)
        own.control("load", LOAD)
        assert own.send(own.encode(bytes(4000), MultiplexedEndpoint().parameters(SPLIT), "")).output.shape == (1, 10)
        own.close()
        with pytest.raises(EdgeError, match=r"certificate that is not accepted: .*(IP address|[Hh]ostname) mismatch"):
            require_reachable(secured(server, ca=ca, certificate=client[0].read_text(), key=client[1].read_text()))
        with pytest.raises(EdgeError, match=r"not accepted: .*issuer certificate|not accepted: .*self.signed"):
            require_reachable(secured(server, server_name="edge.example"))
        with pytest.raises(EdgeError, match=r"client's certificate \(hardware\.edge\.tls\.certificate"):
            require_reachable(secured(server, ca=ca, server_name="edge.example"))


def test_an_expired_certificate_is_one_line(authority: Authority, tmp_path: Path) -> None:
    old = authority.certificate("old", alternative=f"IP:{HOST}", start="20200101000000Z", end="20210101000000Z")
    (tmp_path / "models").mkdir()
    with running(tmp_path, tmp_path / "models", *serving(authority, old)) as server:
        with pytest.raises(EdgeError, match="not accepted: certificate has expired") as caught:
            require_reachable(secured(server, ca=authority.ca.read_text()))
        assert f"the edge at {server.grpc} (hardware.edge.url)" in line(caught)
        with pytest.raises(EdgeError, match="speak TLS"):
            require_reachable(Connection(server.http, tls=Tls(), external=True))


def test_a_key_with_a_passphrase_is_refused_and_its_words_are_not_shown(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.certificate("locked", alternative="DNS:device")
    locked = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(tmp_path / "key")]
    subprocess.run(locked, check=True, capture_output=True)
    given = Tls(certificate=certificate.read_text(), key=(tmp_path / "key").read_text())
    with pytest.raises(ssl.SSLError):
        ssl_context(given)
    assert "PRIVATE KEY" not in repr(Connection("edge:8001", tls=given))


def test_nobody_at_an_address_is_one_line() -> None:
    with pytest.raises(EdgeError) as caught:
        require_reachable(Connection(f"{HOST}:{free_port()}", external=True))
    assert "cannot be reached: Connection refused; is Triton running there?" in line(caught)
    with pytest.raises(EdgeError) as caught:
        require_reachable(Connection("nowhere.invalid:8001", external=True))
    assert "nowhere.invalid:8001 (hardware.edge.url) cannot be reached: " in line(caught)
