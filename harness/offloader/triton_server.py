"""The real tritonserver of the `nvidia-pytriton` wheel: its files, its command line, and its trace.

Layout of its folder (inside the sandbox, so it vanishes with it):

    backends/python/     backend library, its Python utilities, the stub of this interpreter's version
    models/scission/     config.pbtxt and 1/model.py; or models/, a deployment's model repository
    trace.json.N         one file a request, written after its response was sent
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import sysconfig
import time
from pathlib import Path

from harness.errors import CapabilityError, EdgeError
from harness.offloader.endpoint import MultiplexedEndpoint
from harness.offloader.observation import ServerTimes
from harness.preprocessor.repository import pbtxt, python_config

_MODEL = """\
import sys

sys.path.insert(0, {root!r})
from harness.offloader.triton_model import TritonPythonModel  # noqa: E402, F401
"""


#: A line of its own log that is an error; TensorFlow's, in the same file, begin with E0000.
_ERROR_LINE = re.compile(r"E(?!0000)\d{4} \S+ \d+ [\w.]+:\d+\] (?P<text>.*)")
#: What it complains about on every host without a GPU.
_USUAL = "CudaDriverHelper"

#: Stamps of a request that is complete at the server, and of its answer handed over; by protocol.
_MARKS = (("GRPC_WAITREAD_END", "GRPC_SEND_START"), ("HTTP_RECV_END", "HTTP_SEND_START"))


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise CapabilityError(
            "the wheel nvidia-pytriton, which carries tritonserver, is not installed: run `make venv`"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def lay_out(folder: Path, *, seen_as: Path, repository: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Write Triton's folder and give the command (without addresses) and the environment that run it.

    Args:
        folder: where to write, as this process sees it.
        seen_as: the same folder as the server will see it.
        repository: model repository to serve a copy of; None: our own model, which serves every cut.

    Raises:
        CapabilityError: the wheel, its stub for this Python, or libpython is missing.
    """
    wheel = _wheel_folder()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise CapabilityError(
            f"nvidia-pytriton has no python backend stub for Python {version}: use Python 3.8 to 3.13"
        )
    backend = folder / "backends" / "python"
    shutil.copytree(
        wheel / "tritonserver" / "backends" / "python", backend, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy2(stub, backend)
    if repository is not None:
        shutil.copytree(repository, folder / "models", ignore=shutil.ignore_patterns("__pycache__"))
    else:
        _lay_out_own(folder / "models" / MultiplexedEndpoint.model_name)
    command = [
        str(wheel / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={seen_as / 'models'}",
        f"--backend-directory={seen_as / 'backends'}",
        "--allow-metrics=false",
        "--disable-auto-complete-config",
        "--log-verbose=0",
        "--trace-config=mode=triton",
        f"--trace-config=triton,file={seen_as / 'trace.json'}",
        "--trace-config=triton,log-frequency=1",
        "--trace-config=rate=1",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=count=-1",
    ]
    return command, _environment(wheel)


def addressed(command: list[str], host: str, port: int, protocol: str) -> list[str]:
    """The command with where it is to listen: gRPC, or for `http_binary` and `http_json` HTTP, and nothing else."""
    spoken, silent = ("grpc", "http") if protocol == "grpc" else ("http", "grpc")
    return [*command, f"--allow-{silent}=false", f"--{spoken}-address={host}", f"--{spoken}-port={port}"]


def _lay_out_own(model: Path) -> None:
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(pbtxt(python_config(MultiplexedEndpoint.model_name, replies=True)))
    (model / "1" / "model.py").write_text(_MODEL.format(root=str(Path(__file__).parents[2])))


def _environment(wheel: Path) -> dict[str, str]:
    # The stub embeds a Python that ignores PYTHONPATH but looks for `python3` on PATH to find its prefix: with
    # this interpreter's folder first it lands in the same venv (and the same NumPy) as the harness.
    library = sysconfig.get_config_var("LIBDIR") or ""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join([str(wheel.parent / "nvidia_pytriton.libs"), library]),
    }


def complaint(log: Path) -> str:
    """The last error that the server wrote into its log; empty where there is none."""
    lines = log.read_text(errors="replace").splitlines()
    found = [match["text"] for line in lines if (match := _ERROR_LINE.match(line)) and _USUAL not in match["text"]]
    return found[-1].strip('" ')[:300] if found else ""


class NoTrace:
    """Of a server whose files and whose clock are not ours."""

    def times(self, request_id: str) -> None:
        """Nothing is known."""

    def discard(self) -> None:
        """Nothing to forget."""


class Trace:
    """Reads Triton's own timestamps of each request, one file a request, and removes what it has read.

    Triton's trace extension stamps with std::chrono::steady_clock, which is CLOCK_MONOTONIC on Linux, the clock
    of `time.monotonic_ns`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, ServerTimes] = {}

    def times(self, request_id: str, timeout_s: float = 2.0) -> ServerTimes:
        """Server times of one answered request. Raises EdgeError if Triton does not write them in time."""
        deadline = time.monotonic() + timeout_s
        while request_id not in self._read:
            self._collect()
            if request_id in self._read:
                break
            if time.monotonic() > deadline:
                raise EdgeError(f"Triton wrote no trace of request {request_id} within {timeout_s:g} s")
            time.sleep(0.002)
        return self._read.pop(request_id)

    def discard(self) -> None:
        """Forget and remove what has been traced so far (warm-up, control requests)."""
        self._collect()
        self._read.clear()

    def _collect(self) -> None:
        for path in self._folder.glob("trace.json.*"):
            try:
                events = json.loads(path.read_text())
            except ValueError:
                continue  # still being written
            path.unlink()
            request_id = next((event["request_id"] for event in events if event.get("request_id")), "")
            stamps = {stamp["name"]: stamp["ns"] for event in events for stamp in event.get("timestamps", ())}
            for complete, answered in _MARKS:
                if request_id and answered in stamps:
                    self._read[request_id] = ServerTimes(stamps[complete], stamps[answered])
