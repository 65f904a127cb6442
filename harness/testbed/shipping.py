"""What a board must be told and given before an agent can run there: asked, packed and shipped over ssh.

Our own packages go along, so that both ends always run the same code: one archive, named by its content, unpacked once
into the board's folder. Files (weights) go the same way, one by one. Third-party packages are the board's own.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import DeviceError
from harness.spec import CODE
from harness.spec.board import Board
from harness.testbed.ssh import Shell

#: What the agent needs of a board's Python, by the name that it is imported by and the one that pip knows.
PACKAGES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "grpc": "grpcio",
    "tritonclient": "tritonclient[grpc]",
    "google.protobuf": "protobuf",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "zstandard": "zstandard",
}
_OLDEST_PYTHON = (3, 11)
#: Pure Python, and what shapes an interface; shipped, so that root's Python there needs nothing.
_SHIPPED = ("harness", "netem", "pyroute2")
_MARK = "scissionlite:"
_SHIPPING_TIMEOUT_S = 900.0

#: Runs on any Python 3, also one that is too old: it is what finds that out.
_ASK = """\
import importlib.util, json, os, platform, sys
try:
    from importlib import metadata
except ImportError:
    metadata = None
def found(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
def version(name):
    try:
        return metadata.version(name)
    except Exception:
        return ""
def cpu():
    try:
        for line in open("/proc/cpuinfo"):
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
packages = json.loads(sys.argv[1])
folder = os.path.join(os.path.expanduser("~"), sys.argv[2])
os.makedirs(folder, 0o700, exist_ok=True)
print("scissionlite:" + json.dumps({
    "python": platform.python_version(), "executable": sys.executable, "machine": platform.machine(),
    "host": platform.node(), "kernel": platform.release(), "cpu": cpu(), "cores": os.cpu_count(), "folder": folder,
    "cpus": sorted(os.sched_getaffinity(0)),
    "ssh_port": int((os.environ.get("SSH_CONNECTION", "").split() or [22])[-1]),
    "missing": [name for name in packages if not found(name)],
    "versions": {name: version(name.partition("[")[0]) for name in packages.values()},
    "have": sorted(os.listdir(folder)),
}))
"""
#: Takes a file from standard input; whole, and with the right content, or not at all. An archive is unpacked.
_TAKE = """\
import hashlib, os, shutil, sys, tarfile, tempfile
folder, name, digest = sys.argv[1:4]
made = tempfile.mkdtemp(dir=folder, prefix=".coming-")
path, seen = os.path.join(made, name), hashlib.sha256()
target = os.path.join(folder, digest)
try:
    with open(path, "wb") as file:
        while True:
            part = sys.stdin.buffer.read(1 << 20)
            if not part:
                break
            seen.update(part)
            file.write(part)
    if seen.hexdigest() != digest:
        sys.exit("what came is not what was sent")
    if name.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            archive.extractall(made)
        os.remove(path)
    try:
        os.rename(made, target)
    except OSError:
        if not os.path.isdir(target):
            raise
finally:
    shutil.rmtree(made, ignore_errors=True)
print("scissionlite:{}")
"""


@dataclass(frozen=True)
class Host:
    """A board as it says it is.

    python, executable: version and path of its Python. machine: architecture. host, kernel, cpu, cores: of the board.
    cpus: cores that a process may run on. versions: of the third-party packages, by pip's name; empty: not known.
    ssh_port: of its sshd. folder: where things are shipped to. have: what is there.
    """

    python: str
    executable: str
    machine: str
    host: str
    kernel: str
    cpu: str
    cores: int
    cpus: tuple[int, ...]
    versions: dict[str, str]
    ssh_port: int
    folder: str
    have: tuple[str, ...]

    @property
    def identity(self) -> str:
        """What a profile belongs to, in the words of `harness.testbed.host.identity`."""
        return f"{self.host}, {self.cpu}, {self.cores} cores, Linux {self.kernel}"

    def as_dict(self) -> dict[str, Any]:
        """What `env.json` keeps of it."""
        return {name: value for name, value in vars(self).items() if name != "have"}


def ask(shell: Shell, board: Board) -> Host:
    """What the board is; makes its folder.

    Raises:
        DeviceError: it cannot be reached, has no Python, too old a one, or lacks packages.
    """
    record = _python(shell, board.python, _ASK, json.dumps(PACKAGES), board.folder, source=b"", timeout_s=60.0)
    version = tuple(int(part) for part in str(record["python"]).split(".")[:2])
    if version < _OLDEST_PYTHON:
        raise DeviceError(
            f"{board.python} on {shell.host} is Python {record['python']}: allowed is 3.11 or later; name one with "
            "hardware.device.python"
        )
    missing = record.pop("missing")
    if missing:
        needed = " ".join(PACKAGES[name] for name in missing)
        raise DeviceError(
            f"{board.python} on {shell.host} lacks {', '.join(missing)}: install with `{board.python} -m pip install "
            f"{needed}` there, or name another Python with hardware.device.python"
        )
    return Host(**{**record, "cpus": tuple(record["cpus"]), "have": tuple(record["have"])})


def ship_code(shell: Shell, host: Host) -> str:
    """Our packages on the board: the folder there that goes on Python's path; shipped where it is not there yet.

    Raises:
        DeviceError: it cannot be written there.
    """
    archive = _archive()
    return _ship(shell, host, archive, hashlib.sha256(archive).hexdigest(), "code.tar.gz")


def ship_file(shell: Shell, host: Host, path: Path) -> str:
    """A file on the board: its path there; shipped where a file of that content is not there yet.

    Raises:
        DeviceError: it cannot be written there.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{_ship(shell, host, path, digest, path.name)}/{path.name}"


def ship_model(shell: Shell, host: Host, model: Mapping[str, Any]) -> dict[str, Any]:
    """A model as the board is to load it: its files shipped, and named as they are called there.

    Args:
        model: as `load` of the agent takes it; `weights`, `file` and the source of `factory` may be files of this host.

    Raises:
        DeviceError: one cannot be written there.
    """
    shipped = {}
    for name in ("weights", "file"):
        value = model.get(name)
        if value not in (None, "imagenet"):
            shipped[name] = ship_file(shell, host, Path(str(value)).expanduser())
    if model.get("factory"):
        source, _, function = str(model["factory"]).rpartition(":")
        shipped["factory"] = f"{ship_source(shell, host, source)}:{function}"
    return {**model, **shipped}


def ship_source(shell: Shell, host: Host, source: str) -> str:
    """Python code of the user's as the board finds it: a file is shipped, an installed module has to be there.

    Raises:
        DeviceError: it cannot be written there.
    """
    return ship_file(shell, host, Path(source)) if source.endswith(".py") else source


def _ship(shell: Shell, host: Host, content: bytes | Path, digest: str, name: str) -> str:
    target = f"{host.folder}/{digest}"
    if digest not in host.have:
        arguments = (host.folder, name, digest)
        if isinstance(content, bytes):
            _python(shell, host.executable, _TAKE, *arguments, source=content, timeout_s=_SHIPPING_TIMEOUT_S)
        else:
            with content.open("rb") as file:
                _python(shell, host.executable, _TAKE, *arguments, source=file, timeout_s=_SHIPPING_TIMEOUT_S)
    return target


def _python(shell: Shell, python: str, script: str, *arguments: str, source: Any, timeout_s: float) -> dict[str, Any]:
    output = shell.run([python, "-c", script, *arguments], source=source, timeout_s=timeout_s)
    # A shell that prints something at its start, as some do, prints it before.
    answers = [line for line in output.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if not answers:
        raise DeviceError(
            f"{python} on {shell.host} did not answer what it was asked; is hardware.device.python a Python?"
        )
    record: dict[str, Any] = json.loads(answers[-1].removeprefix(_MARK))
    return record


@cache
def _archive() -> bytes:
    """The packages of `_SHIPPED`, Python files alone; the same bytes for the same content."""
    packed = io.BytesIO()
    # Neither times nor owners: the name is the content's.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for package in _SHIPPED:
            folder = _folder_of(package)
            for path in sorted(folder.rglob("*.py")):
                info = tarfile.TarInfo(f"{package}/{path.relative_to(folder)}")
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)
    return packed.getvalue()


def _folder_of(package: str) -> Path:
    if (CODE / package).is_dir():
        return CODE / package
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise DeviceError(f"the package {package}, which goes to the board, is not installed here: run `make venv`")
    return Path(spec.origin).parent
