"""An edge that somebody else runs: how the spec describes it, and whether it can be reached at all.

It is looked for with sockets and the standard library's TLS, from this host and before anything else starts: that gives
the reason in words ("certificate has expired") where gRPC later has but a code, and starts no gRPC thread in a process
that still has to become root of a namespace.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from harness.errors import EdgeError, HarnessError, SpecError
from harness.offloader.connection import Connection, Tls
from harness.offloader.tls import ssl_context
from harness.results.addresses import split_address
from harness.spec import CODE, Spec
from harness.spec.fields import from_project
from harness.testbed.client import AgentClient

_TIMEOUT_S = 10.0
_UNLOAD_S = 30.0
#: How long a server may take to turn down a client's certificate, which in TLS 1.3 comes after the handshake.
_REFUSAL_S = 0.3


def connection(spec: Spec) -> Connection:
    """How the external edge of a cell is reached directly.

    Raises:
        SpecError: the cell has none, or a file of hardware.edge.tls is missing or no PEM.
    """
    edge, protocol = spec.hardware.edge, spec.communicator.name
    if edge.url is None:
        raise SpecError("hardware.edge.url=null: there is no external edge; give HOST:PORT")
    host, port = split_address(edge.url)
    if protocol != "grpc" and edge.http_port is not None:
        port = edge.http_port
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    version = "" if edge.model_version is None else str(edge.model_version)
    return Connection(name, protocol, name, _tls(spec), version, external=True)


def require_reachable(to: Connection) -> None:
    """Connect once, with TLS where it is asked for. Raises EdgeError, one line, saying what is in the way."""
    where = f"the edge at {to.shown} (hardware.edge.url)"
    try:
        with socket.create_connection(split_address(to.address), timeout=_TIMEOUT_S) as plain:
            if to.tls is None:
                return
            _handshake(plain, to, to.tls)
    except ssl.SSLCertVerificationError as error:
        raise EdgeError(
            f"{where} shows a certificate that is not accepted: {error.verify_message}; give the authority that signed "
            "it as hardware.edge.tls.ca, its name as hardware.edge.tls.server_name, or have the server's renewed"
        ) from error
    except ssl.SSLError as error:
        reason = getattr(error, "reason", None) or error
        raise EdgeError(
            f"{where} does not agree on TLS: {reason}; does it speak TLS, and does it ask for a "
            "client's certificate (hardware.edge.tls.certificate, hardware.edge.tls.key)?"
        ) from error
    except TimeoutError as error:
        raise EdgeError(f"{where} does not answer within {_TIMEOUT_S:g} s: wrong address, or a firewall") from error
    except ConnectionResetError as error:
        raise EdgeError(f"{where} closes the connection: does it speak TLS there?") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no resolver takes
        error = error if isinstance(error, OSError) else OSError(None, "no such host name")
        raise EdgeError(f"{where} cannot be reached: {error.strerror or error}; is Triton running there?") from error


def _handshake(plain: socket.socket, to: Connection, tls: Tls) -> None:
    context = ssl_context(tls)
    context.set_alpn_protocols(["h2"] if to.protocol == "grpc" else ["http/1.1"])
    with context.wrap_socket(plain, server_hostname=to.server_name) as secured:
        secured.settimeout(_REFUSAL_S)
        with suppress(TimeoutError):
            if not secured.recv(1):
                raise ssl.SSLError("it ends the connection after the handshake")


def _tls(spec: Spec) -> Tls | None:
    given = spec.hardware.edge.tls
    if not given.enabled:
        lone = [name for name in ("ca", "certificate", "key", "server_name") if getattr(given, name) is not None]
        if lone:
            raise SpecError(f"hardware.edge.tls.{lone[0]} is given but TLS is off; add hardware.edge.tls.enabled=true")
        return None
    if (given.certificate is None) != (given.key is None):
        missing = "key" if given.key is None else "certificate"
        raise SpecError(f"hardware.edge.tls.{missing}=null: a client's certificate and its key are given together")
    texts = {name: _pem(name, getattr(given, name)) for name in ("ca", "certificate", "key")}
    found = Tls(**texts, server_name=given.server_name)
    try:
        ssl_context(found)
    except (ssl.SSLError, ValueError) as error:
        raise SpecError(
            f"hardware.edge.tls: the PEM files cannot be used: {error}; allowed: PEM, a key of its own "
            "certificate and without a passphrase"
        ) from error
    return found


def _pem(name: str, given: str | None) -> str | None:
    if given is None:
        return None
    path = from_project(given)
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise SpecError(f"hardware.edge.tls.{name}={given}: {error.strerror}; give a PEM file") from error
    if "-----BEGIN" not in text:  # no authority at all would mean: all that this host trusts
        raise SpecError(f"hardware.edge.tls.{name}={given}: nothing in it begins with -----BEGIN; give a PEM file")
    return text


@contextmanager
def forwarding(listener: socket.socket, to: Connection, cpu: int, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Carry what arrives at a listening socket to the edge, from this host's network, while entered."""
    host, port = split_address(to.address)
    arguments = ["--listener", str(listener.fileno()), "--host", host, "--port", str(port), "--cpu", str(cpu)]
    with listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.testbed.forwarder", *arguments],
            cwd=CODE,
            stdin=subprocess.PIPE,  # its lifeline: it ends with this process, killed or not
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(),),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def unload(agent: AgentClient) -> None:
    """Take back what the repository API was sent; a server that is gone by then has nothing to take back."""
    with suppress(HarnessError):
        agent.call("unload", timeout_s=_UNLOAD_S)
