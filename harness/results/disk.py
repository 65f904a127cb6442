"""Disks that are full or may not be written to: found before anything is started, and named where they fail later.

The kernel does not say which file a failed write was for, so whoever writes adds its name (`naming`).
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import SpecError

#: What a cell leaves is less: 1.2 MB for MobileNetV2, 3 MB for the largest models.
ROOM_BYTES = 4 * 2**20
#: Nobody's mistake but the disk's.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
#: Characters of a path that is for reading.
_LONGEST = 300


def require_room(key: str, folder: Path) -> None:
    """Raise SpecError unless a cell's records can be written into a folder, which need not be there yet.

    The room is really taken, by a file without a name, and given back at once: free space as the file system states it
    knows no quota, and permissions no read-only mount.

    Args:
        key: of the spec, which names the folder.
    """
    try:
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=place) as file:
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
    except OSError as error:
        raise SpecError(
            f"{key}={_shown(folder)} cannot be written: {error.strerror or error}; allowed: a folder that this user "
            f"may write to, on a disk with {ROOM_BYTES / 2**20:.0f} MiB of room"
        ) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the file that is written inside has its name."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def explain(error: BaseException, folder: Path | str = "the folder of the results") -> str | None:
    """One line for an error that is the disk's; None for any other.

    Args:
        folder: what was being written, where the error does not say.
    """
    if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
        return None
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else folder
    return f"{_shown(where)} cannot be written: {error.strerror}; make room there, or name another folder"


def _shown(path: Path | str) -> str:
    text = str(path)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
