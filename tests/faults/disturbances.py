"""What is done to a running cell beside killing its parts, and what a cell that failed of it has to look like."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from netem import choose_backend
from netem.namespaces import ADDRESSES, in_network_namespace
from tests.faults.kills import NOTICED_WITHIN_S, left_behind, misreported, status_of, torn
from tests.netem import sabotage
from tests.runs import Aftermath, Blow, Host, Sight, samples_of

#: Of a test that runs real cells, again and again; and of one that enters their namespaces.
REAL_CELLS = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton, pytest.mark.slow]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter the namespaces of a run")
AGENT, RELAY, STUB = "harness.testbed.agent", "netem.relay", "triton_python_backend_stub"
EDGE_PORT = 8001
#: The connection preface of HTTP/2 (RFC 9113): what comes after it is taken for frames.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def measuring(sight: Sight) -> bool:
    """Whether the run has a request on record."""
    return samples_of(sight.folder) > 0


def saying(text: str, part: str = "") -> Callable[[Sight], bool]:
    """Whether the run has said so, and has a process with `part` in its command."""
    return lambda sight: text in sight.said and sight.pid_of(part) is not None


def failed_in_time(
    host: Host, left: Aftermath, run: subprocess.Popen[bytes], blow: Blow | None, cause: str
) -> list[str]:
    """What is wrong with a run that was to fail of `cause` (in small letters); a line each."""
    if blow is None:
        return ["it had ended before"]
    wrong = left_behind(left) + torn(left.folder) + misreported(status_of(left.folder), cause)
    if run.returncode != 1:
        wrong.append(f"exit code {run.returncode}")
    if (took_s := time.monotonic() - blow.at_s) > NOTICED_WITHIN_S:
        wrong.append(f"it went on for {took_s:.0f} s")
    if "Traceback" in host.output()[1]:
        wrong.append("a traceback on the console")
    return wrong


# -- the link ---------------------------------------------------------------------------------------------


def take_link_down(sight: Sight) -> None:
    sabotage.take_down(_device(sight))


def lose_every_frame(sight: Sight) -> None:
    sabotage.lose_everything(_device(sight))


def slow_link_down(sight: Sight) -> None:
    sabotage.slow_down(_device(sight), choose_backend())


def freeze_relay(sight: Sight) -> None:
    """It lives, and carries nothing."""
    os.kill(_pid(sight, RELAY), signal.SIGSTOP)


# -- the edge ---------------------------------------------------------------------------------------------


def starve_stub(sight: Sight) -> None:
    """The process that computes the tails gets no more memory than it has, by its address space and by its heap."""
    pid = _pid(sight, STUB)
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    sizes = {name: 1024 * int(value.split()[0]) for name, _, value in lines if name in ("VmSize", "VmData")}
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        resource.prlimit(pid, limit, (sizes[name], sizes[name]))


def send_garbage(sight: Sight, generator: random.Random, every_s: float = 0.1) -> int:
    """Bytes that mean nothing, from the device's namespace to the edge's port until the run ends; how often."""
    count, namespace = 0, _device(sight)
    while sight.run.poll() is None and time.monotonic() < sight.deadline:
        # The edge closes such a connection or is silent, and at the end it is gone.
        with suppress(OSError), in_network_namespace(namespace, _to_the_edge) as peer:
            peer.sendall(_garbage(generator))
            count += 1
            peer.settimeout(every_s)
            peer.recv(4096)
        time.sleep(every_s)
        sight.look()
    return count


def _to_the_edge() -> socket.socket:
    return socket.create_connection((ADDRESSES["edge"], EDGE_PORT), timeout=2)


def _garbage(generator: random.Random) -> bytes:
    """Noise; noise where HTTP/2 frames are expected; a frame that claims to be as long as one can be; nothing."""
    noise = generator.randbytes(generator.randrange(1, 4096))
    return generator.choice([noise, _PREFACE + noise, _PREFACE + b"\xff\xff\xff" + noise[:20], _PREFACE, b""])


# -- the disk ---------------------------------------------------------------------------------------------


def on_a_disk_of_its_own(folder: Path, options: str) -> list[str]:
    """A prefix: the command after it finds a file system of its own at `folder`, with these options of tmpfs(5)."""
    mount = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, "sh", options, str(folder)]


def fill_disk(sight: Sight) -> None:
    """Nothing more fits beside the results of the run, which are on a disk that only the run sees."""
    with (seen_by(sight) / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))


def seen_by(sight: Sight) -> Path:
    """The folder of the results as the run sees it."""
    return Path(f"/proc/{sight.run.pid}/root{sight.folder}")


def _device(sight: Sight) -> str:
    return f"/proc/{_pid(sight, AGENT)}/ns/net"


def _pid(sight: Sight, part: str) -> int:
    pid = sight.pid_of(part)
    assert pid is not None, f"the run has no {part}"
    return pid
