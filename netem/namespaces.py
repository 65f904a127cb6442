"""Two network namespaces, ``device`` and ``edge``, that last as long as the process that made them."""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, TypeVar

from netem import linux
from netem.errors import CapabilityError, NetemError, ShapingError

T = TypeVar("T")
Where = Literal["device", "edge"]
Place = Literal["device", "edge", "middle"]
"""The third namespace is the relay's: what stands between device and edge, and never a tier."""

Stream = int | IO[Any] | None

ADDRESSES: dict[Where, str] = {"device": "198.18.0.1", "edge": "198.18.0.2"}
"""From the block set aside for measuring network devices (RFC 2544), so no real host is shadowed."""

_ROOT = str(Path(__file__).resolve().parents[1])
_START_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 10.0
# `-m` would need the package on the path of every child, and a child's environment is the caller's.
_RUN_MODULE = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_argv(module: str, *arguments: str) -> list[str]:
    """A command that runs a module of this package on the bare standard library, whatever the environment."""
    return [sys.executable, "-I", "-S", "-c", _RUN_MODULE, _ROOT, module, *arguments]


class Sandbox:
    """Network namespaces for device, edge and the relay between, held by one process.

    There is one PID namespace and private ``/tmp`` and ``/dev/shm`` with them.

    Nothing has a name in ``/run/netns``; everything inside ends with the holder, and the holder with this
    process, SIGKILL included (see ``netem.holder``). Enter it from a thread that outlives it, best the main
    one: the kernel takes the end of the starting thread for the end of the parent.

    Args:
        keep: paths that stay visible inside although they lie below ``/tmp`` or ``/dev/shm``. The working
            folder, this package and the Python in use are kept anyway.

    Raises:
        CapabilityError: this process may not make namespaces.
    """

    def __init__(self, keep: Iterable[str | Path] = ()) -> None:
        """Prepare; nothing is started before ``__enter__``."""
        always = (Path.cwd(), _ROOT, sys.prefix, sys.base_prefix)
        self._keep = sorted({str(Path(path).resolve()) for path in (*keep, *always)})
        self._holder: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._report: dict[str, int] = {}
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Sandbox":
        """Start the holder and wait until both namespaces are there."""
        lifeline, self._lifeline = os.pipe()
        report_read, report_write = os.pipe()
        options = {"parent": os.getpid(), "lifeline": lifeline, "report": report_write, "keep": self._keep}
        try:
            self._holder = subprocess.Popen(
                module_argv("netem.holder", json.dumps(options)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(lifeline, report_write),
                cwd="/",
                start_new_session=True,  # an interrupt from the terminal is the owner's to handle
            )
        finally:
            os.close(lifeline)
            os.close(report_write)
        try:
            self._report = _read_report(report_read)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything inside (see ``close``)."""
        self.close()

    def close(self) -> None:
        """End every process inside and wait until they and the namespaces are gone. Safe to call twice."""
        holder, self._holder = self._holder, None
        if holder is None:
            return
        os.close(self._lifeline)
        try:
            holder.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()
        children, self._children = self._children, []
        for child in children:  # killed with their namespace; one may take its time, in a driver's teardown
            with suppress(subprocess.TimeoutExpired):
                child.wait(_END_TIMEOUT_S)

    @property
    def pid(self) -> int:
        """PID of the holder, as seen from outside. Raises NetemError once the sandbox has ended."""
        if self._holder is None or self._holder.poll() is not None:
            raise NetemError("the sandbox is not running: closed, or its holder was killed; enter a new one")
        return self._report["pid"]

    def address(self, where: Where) -> str:
        """IPv4 address of that end of the link."""
        return ADDRESSES[where]

    def netns(self, where: Place) -> str:
        """Path of a network namespace as seen from outside; pass it to pyroute2 together with ``flags=0``."""
        return f"/proc/{self.pid}/fd/{self._report[where]}"

    def path(self, inside: str | Path) -> Path:
        """Where this process finds a file that processes inside call ``inside`` (an absolute path)."""
        return Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def popen(
        self,
        where: Place,
        argv: Sequence[str],
        *,
        cpu: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        pass_fds: Sequence[int] = (),
    ) -> "subprocess.Popen[bytes]":
        """Start a command inside, like ``subprocess.Popen``: exec'ed afresh, never forked from this process.

        Args:
            where: whose network it sees.
            argv: the command. One that cannot be run ends with 127 and a line on its standard error.
            cpu: the core it is pinned to before it starts; None leaves it free.
            env: its whole environment; None takes this process's.
            cwd: its working folder, as seen inside; None takes this process's.
            stdin, stdout, stderr, pass_fds: as for ``subprocess.Popen``.

        Raises:
            NetemError: the sandbox has ended.
        """
        environment = dict(os.environ if env is None else env)
        # Meant for the command; the launcher's own Python must not load other libraries because of them.
        held_back = {name: environment.pop(name) for name in list(environment) if name.startswith("LD_")}
        options = {
            "holder": self.pid,
            "netns": self._report[where],
            "cpu": cpu,
            "cwd": str(Path.cwd() if cwd is None else cwd),
            "environment": held_back,
        }
        child = subprocess.Popen(
            module_argv("netem.enter", json.dumps(options), *argv),
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
        )
        self._children = [other for other in self._children if other.poll() is None]
        self._children.append(child)
        return child

    def call(self, where: Place, function: Callable[[], T]) -> T:
        """Run a function of this process in one of the namespaces, in a short-lived thread.

        A socket stays in the namespace it was made in, so the function may hand sockets back.

        Raises:
            CapabilityError: this process may not enter the namespace.
        """
        return in_network_namespace(self.netns(where), function)


def in_network_namespace(path: str | None, function: Callable[[], T]) -> T:
    """Run a function in a thread whose network namespace is the one at ``path``, or a new one for None.

    Namespaces are a thread's own: the rest of the process stays where it is, and a new namespace goes when
    the thread ends. What the function raises is raised here.

    Raises:
        CapabilityError: this process may not enter or make the namespace.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            _enter_network_namespace(path)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="netem-namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter_network_namespace(path: str | None) -> None:
    try:
        if path is None:
            linux.unshare(linux.CLONE_NEWNET)
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            linux.setns(descriptor, linux.CLONE_NEWNET)
        finally:
            os.close(descriptor)
    except PermissionError as error:
        raise _not_permitted(str(error)) from error


def _read_report(descriptor: int) -> dict[str, int]:
    with open(descriptor, "rb", buffering=0) as pipe:
        text = b""
        while select.select([pipe], [], [], _START_TIMEOUT_S)[0]:
            chunk = pipe.read(4096)
            if not chunk:
                break
            text += chunk
    report: dict[str, Any] = {}
    for line in text.splitlines():
        report |= json.loads(line)
    if "error" in report:
        if "not permitted" in report["error"]:
            raise _not_permitted(report["error"])
        raise ShapingError(f"the sandbox could not be made: {report['error']}")
    if not {"pid", "device", "edge", "middle"} <= report.keys():
        raise ShapingError(f"the sandbox is not up after {_START_TIMEOUT_S:g} s: its holder ended or hangs")
    return report


def _not_permitted(reason: str) -> CapabilityError:
    return CapabilityError(
        f"this process may not make network namespaces ({reason}): it needs root or CAP_SYS_ADMIN and "
        "CAP_NET_ADMIN; run it as root, or in a container with --privileged"
    )
