"""Arrays on disk, whole or not at all: checkpoints of a training, and what a finished one leaves.

A training has a folder of its own, named by all that decides its outcome; whoever asks for the same again goes on
where it was, or finds it done.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError

Arrays = list[NDArray[Any]]
_META = "meta"


def key(content: Mapping[str, Any]) -> str:
    """A short text that equal contents share."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, groups: Mapping[str, Sequence[NDArray[Any]]], meta: Mapping[str, Any]) -> None:
    """Put named groups of arrays and a JSON record at `path`, whole or not at all.

    Raises:
        HarnessError: the disk is full, or cannot be written; what was at `path` is still there.
    """
    arrays = {f"{name}_{index:05d}": array for name, group in groups.items() for index, array in enumerate(group)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{_META: np.frombuffer(json.dumps(dict(meta)).encode(), np.uint8)})
    write_bytes(path, buffer.getbuffer())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Put bytes at `path`, whole or not at all. Raises as `write` does."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        _refuse(path, error)


def write_saved(path: Path, save: Callable[[Path], None]) -> None:
    """Let Keras write a file beside `path`, then put it there whole. Raises as `write` does."""
    part = path.with_name(f".part.{path.name}")  # Keras judges a file by its suffix
    try:
        save(part)
        content = part.read_bytes()
    except OSError as error:
        _refuse(path, error)
    finally:
        part.unlink(missing_ok=True)
    write_bytes(path, content)


def _refuse(path: Path, error: OSError) -> NoReturn:
    """Raise HarnessError: the disk is full, or cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    kept = "; what was saved there before is kept" if path.exists() else ""
    raise HarnessError(
        f"{path} cannot be written: {error.strerror}{kept}; {'make room' if full else 'see to it'} and give the same "
        "command again: it goes on from the last checkpoint"
    ) from error


def read(path: Path) -> tuple[dict[str, Arrays], dict[str, Any]] | None:
    """What `write` put there; None where there is nothing. Raises HarnessError for anything else."""
    if not path.exists():
        return None
    groups: dict[str, Arrays] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(archive[_META].tobytes())
            for name in sorted(set(archive.files) - {_META}):
                groups.setdefault(name.rpartition("_")[0], []).append(archive[name])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise HarnessError(f"{path} is damaged ({error}); delete it to train from the start") from error
    return groups, meta


@contextmanager
def alone(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a training's folder; the kernel lets go of it whatever becomes of this process.

    Where another process holds it, `waiting` is called and this one waits: what that one makes serves both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
