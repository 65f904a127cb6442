"""One process at a time writes into a folder of results: two would take each other's files for their own leftovers."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import SpecError

#: Folders that this process holds, and the descriptors by which: until it ends, however it ends.
_HELD: dict[Path, int] = {}
#: Tells the process that this one becomes (execve) which descriptors of it hold folders.
_VARIABLE = "HARNESS_HELD_FOLDERS"


def occupy(key: str, folder: Path) -> None:
    """Hold a folder for as long as this process lives; it is made if missing. Nothing is left in it (flock(2)).

    Args:
        key: of the spec, which names the folder.

    Raises:
        SpecError: another process holds it.
        OSError: it cannot be made or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    _adopt()
    if place in _HELD:
        return
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = holder(descriptor).removeprefix(", ") or "another process"
        os.close(descriptor)
        raise SpecError(
            f"{key}={folder}: {told} is running in this folder, and each would overwrite the other's files; allowed: "
            "another folder, or this one once that has ended"
        ) from None
    _HELD[place] = descriptor


@contextmanager
def vacant(folder: Path) -> Iterator[str | None]:
    """Keep everybody from beginning in a folder while entered; where somebody is at work in it, who that is.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield holder(descriptor).removeprefix(", ") or "another process"
            return
        yield None
    finally:
        os.close(descriptor)


def bequeathed() -> dict[str, str]:
    """What has to stand in the environment of the program that this process is about to become, so that nobody takes
    its folders in between: a lock belongs to the open file, which execve(2) keeps."""
    for descriptor in _HELD.values():
        os.set_inheritable(descriptor, True)
    return {_VARIABLE: json.dumps({str(place): descriptor for place, descriptor in _HELD.items()})}


def _adopt() -> None:
    """Hold what the program that this process was before held."""
    for name, descriptor in json.loads(os.environ.pop(_VARIABLE, "{}")).items():
        with suppress(OSError):  # closed by whatever was in between: then it is taken as any other
            if os.path.samestat(os.fstat(descriptor), Path(name).stat()):
                os.set_inheritable(descriptor, False)
                _HELD[Path(name)] = descriptor


def holder(descriptor: int) -> str:
    """`, process 123 (python run.py)`, as far as the kernel says (proc_locks(5)); nothing from inside a container."""
    inode = os.fstat(descriptor).st_ino
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ""
    for fields in (line.split() for line in lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}") and int(fields[4]) > 0:
            command = _command(fields[4])
            return f", process {fields[4]}{f' ({command})' if command else ''}"
    return ""


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    text = b" ".join(words).decode(errors="replace").strip()
    return " ".join(text.split())[:80]
