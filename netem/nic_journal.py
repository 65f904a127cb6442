"""What an interface was like before it was shaped: on disk, written before anything is changed.

It lies where a restart of the host empties it, as a restart empties the qdiscs. Whoever holds the lock of an interface
is the one that shapes it; the kernel gives the lock free when that process ends, however it ends, and the journal that
it left behind says what is still to be put back.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from netem.errors import CapabilityError, ShapingError

FOLDER = Path("/run/netem-nic")


class Journal:
    """The journal of one interface in the calling thread's network namespace.

    Args:
        interface: its name.
        folder: where journals lie; made, for this user alone, if missing.

    Attributes:
        path: the file.
    """

    def __init__(self, interface: str, folder: Path = FOLDER) -> None:
        namespace = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116 (a magic link, not a path)
        self._folder = folder
        self._interface = interface
        self.path = folder / f"{interface}-{namespace}.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one that shapes the interface while entered.

        Raises:
            ShapingError: another process is.
            CapabilityError: this user may not write there.
        """
        lock = self.path.with_suffix(".lock")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = _locked(lock)
        except BlockingIOError:
            holder = ""
            with suppress(OSError):  # gone, where its holder has just ended
                holder = lock.read_text()
            raise ShapingError(
                f"{self._interface} is already shaped by process {holder or 'unknown'} of this host: one link an "
                "interface; end that process, which restores the interface, or wait"
            ) from None
        except OSError as error:
            raise CapabilityError(
                f"the journal {self.path} cannot be written ({error.strerror}): run as root, or name a folder"
            ) from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # before the lock is given free: who waits for it sees that it is gone
            os.close(descriptor)

    def read(self) -> dict[str, Any] | None:
        """What a process that ended without restoring left; None where there is nothing to restore.

        Raises:
            ShapingError: the file is no journal.
        """
        try:
            record: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ShapingError(
                f"the journal {self.path} cannot be read: {error}; remove it, and restore by tc"
            ) from error
        return record

    def write(self, record: dict[str, Any]) -> None:
        """Put the record on disk, whole or not at all. Raises ShapingError where the disk does not take it."""
        beside = self.path.with_suffix(".new")
        try:
            with beside.open("w") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise ShapingError(
                f"the journal {self.path} cannot be written ({error.strerror}), and without it nothing is changed: "
                "make room there"
            ) from error

    def remove(self) -> None:
        """Everything is as before."""
        self.path.unlink(missing_ok=True)


def _locked(path: Path) -> int:
    """A descriptor of the locked file, which holds this process's number. Raises OSError, BlockingIOError where another
    process has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                os.truncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it between the two lines: the next one is ours, or another's
