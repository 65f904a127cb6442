"""The process that a sandbox lives in: PID 1 of its PID namespace. Run as ``python -m netem.holder``.

It holds the network namespaces by open descriptors, private mounts, and waits. When it ends, the kernel
kills everything in its PID namespace, and with the last process go the mounts and the network namespaces:
there is no clean-up to forget. It ends with its owner, in two independent ways: the kernel kills it
(PR_SET_PDEATHSIG), and it reads the end of file of a pipe whose other end only the owner has.

The process that the owner started waits outside for PID 1, so that the owner can wait for the end of it all.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from netem import linux

_PRIVATE_FOLDERS = ("/tmp", "/dev/shm")


def main(argv: list[str]) -> int:
    """Make the namespaces and hold them.

    Args:
        argv: one JSON object: ``parent`` (PID of the owner), ``lifeline`` (descriptor to read until its end
            of file), ``report`` (descriptor that gets JSON lines: ``pid``, ``device``, ``edge``, ``middle``, or
            ``error``), ``keep`` (absolute paths that stay visible below the private folders).
    """
    options: dict[str, Any] = json.loads(argv[0])
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != options["parent"]:
        return 1
    try:
        linux.unshare(linux.CLONE_NEWPID | linux.CLONE_NEWNS)
    except OSError as error:
        _report(options["report"], error=str(error))
        return 1
    pid = os.fork()
    if pid == 0:
        os._exit(_hold(options))
    _report(options["report"], pid=pid)
    os.close(options["report"])
    os.close(options["lifeline"])
    os.waitpid(pid, 0)
    return 0


def _hold(options: dict[str, Any]) -> int:
    # Outside, the parent's PID is not visible from here; if it died before this line, the owner notices
    # that it is gone and closes the lifeline.
    linux.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped by the kernel
    try:
        _mount_private_folders([Path(path) for path in options["keep"]])
        namespaces = {where: _new_network_namespace() for where in ("device", "edge", "middle")}
    except OSError as error:
        _report(options["report"], error=str(error))
        return 1
    _report(options["report"], **namespaces)
    os.close(options["report"])
    while os.read(options["lifeline"], 1):
        pass
    return 0


def _mount_private_folders(keep: list[Path]) -> None:
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    # A descriptor reaches what the new file system is about to cover.
    kept = {path: os.open(path, os.O_PATH) for path in _outermost_below_private_folders(keep)}
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    for folder in _PRIVATE_FOLDERS:
        linux.mount("tmpfs", folder, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")
    for path, descriptor in kept.items():
        source = Path(f"/proc/self/fd/{descriptor}")
        if source.is_dir():
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        linux.mount(str(source), str(path), flags=linux.MS_BIND | linux.MS_REC)
        os.close(descriptor)


def _outermost_below_private_folders(paths: list[Path]) -> list[Path]:
    below = {path for path in paths if any(Path(folder) in path.parents for folder in _PRIVATE_FOLDERS)}
    return sorted(path for path in below if not below.intersection(path.parents) and path.exists())


def _new_network_namespace() -> int:
    linux.unshare(linux.CLONE_NEWNET)
    linux.loopback_up()
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def _report(descriptor: int, **fields: int | str) -> None:
    os.write(descriptor, json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
