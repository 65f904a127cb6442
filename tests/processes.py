"""Finds what a run left behind: by a mark in the environment that every process of it inherits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MARK = "HARNESS_TEST_RUN"
#: Where tests and other users of this host may write at any time; only names that a run gives count.
_OURS_IN_TMP = ("triton*", "trace.json*", "agent*", "*scission*", "*netem*", "*.sock")


def marked(mark: str) -> list[int]:
    """Processes whose environment carries the mark."""
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid in _pids() if wanted in _read(f"/proc/{pid}/environ").split(b"\0")]


def command(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")


def network_namespaces(pids: list[int]) -> set[str]:
    """Network namespaces other than this process's that these processes are in or hold open."""
    found = {link for pid in pids for link in (_link(f"/proc/{pid}/ns/net"), *_open_files(pid)) if link[:5] == "net:["}
    return found - {_link("/proc/self/ns/net")}


def living(namespaces: set[str]) -> set[str]:
    """Those of the namespaces that any process of the host still is in or holds open."""
    return network_namespaces(list(_pids())) & namespaces


def interfaces() -> set[str]:
    """Network interfaces of the host."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def temporary_files() -> set[str]:
    """What a run could have left in the host's shared folders."""
    tmp = {str(path) for pattern in _OURS_IN_TMP for path in Path("/tmp").glob(pattern)}
    return tmp | {str(path) for path in Path("/dev/shm").iterdir()}


def listening_sockets(pids: list[int]) -> set[str]:
    """Local addresses of the host's own namespace on which these processes listen (TCP, hexadecimal)."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in _read(f"/proc/self/net/{name}").decode().splitlines()]
    inodes = {f"socket:[{line[9]}]": line[1] for line in lines[1:] if line[3] == "0A"}  # 0A: TCP_LISTEN
    return {inodes[link] for pid in pids for link in _open_files(pid) if link in inodes}


def _open_files(pid: int) -> Iterator[str]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 (entries come and go)
    except OSError:
        return
    yield from (_link(f"/proc/{pid}/fd/{name}") for name in names)


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 (the text, not a path)
    except OSError:
        return ""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
