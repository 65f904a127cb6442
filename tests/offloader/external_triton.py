"""A tritonserver that a test starts by itself on an address of its own, as somebody else would run it, and what signs
its certificates."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.offloader import triton_server

#: An address of this host that no harness uses.
HOST = "127.0.0.2"
_START_S = 60.0
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Server:
    """Where it listens."""

    grpc: str
    http: str
    repository: Path


@contextmanager
def running(folder: Path, repository: Path, *arguments: str) -> Iterator[Server]:
    """A server on the models of `repository` (served in place) from entering to leaving."""
    command, environment = triton_server.lay_out(folder / "triton", seen_as=folder / "triton")
    own = ("--model-repository=", "--trace-config")
    command = [part for part in command if not part.startswith(own)]
    grpc, http = free_port(), free_port()
    command += [
        f"--model-repository={repository}", f"--grpc-address={HOST}", f"--grpc-port={grpc}",
        f"--http-address={HOST}", f"--http-port={http}", *arguments,
    ]  # fmt: skip
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "triton.log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **environment, **quiet}, stdout=log, stderr=log)
    try:
        _wait(server, f"http://{HOST}:{http}/v2/health/live", folder / "triton.log")
        yield Server(f"{HOST}:{grpc}", f"{HOST}:{http}", repository)
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1.0):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


class Authority:
    """Signs certificates with the openssl program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        named = ("-days", "30", "-subj", "/CN=authority")
        self._run("req", "-x509", *_NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", *named)
        (folder / "index.txt").touch()
        (folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\n"
            "private_key=ca.key\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n"
            "[any]\ncommonName=supplied\n"
        )
        (folder / "serial").write_text("1000\n")

    def certificate(
        self, name: str, *, alternative: str, start: str = "20240101000000Z", end: str = "20991231235959Z"
    ) -> tuple[Path, Path]:
        """Certificate and key for a subject; `alternative` as in subjectAltName, times as openssl takes them."""
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        named = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}")
        self._run("req", *_NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", *named)
        self._run("ca", "-batch", "-notext", "-config", "ca.conf", "-in", f"{name}.csr", "-out", f"{name}.pem",
                  "-startdate", start, "-enddate", end)  # fmt: skip
        return files

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
