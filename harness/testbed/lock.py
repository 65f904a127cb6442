"""One measuring run at a time: two would time each other's work (standard library)."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import CapabilityError
from harness.results.occupied import holder

#: Names another folder for the lock, such as one that several containers of a host share.
FOLDER_VARIABLE = "HARNESS_LOCK_DIR"
_NAME = "scissionlite-harness.lock"
_RUNTIME = Path("/run/lock")


@contextmanager
def measuring() -> Iterator[None]:
    """Hold this host while entered. The kernel gives it free when this process ends, however it ends.

    The file stays where it is, empty: that it is locked counts, not that it is there (flock(2)). Whoever holds it
    need not be the user who made it.

    Raises:
        CapabilityError: another process holds it, or it cannot be opened.
    """
    path = lock_path()
    descriptor = _opened(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CapabilityError(
                f"another run is measuring on this host{holder(descriptor)}, and each would time the other's work: "
                f"wait until it has ended (the lock is {path})"
            ) from None
        yield
    finally:
        os.close(descriptor)


def lock_path() -> Path:
    """The file that is locked: in a folder that every user of the host may write to."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named) / _NAME
    try:
        shared = bool(_RUNTIME.stat().st_mode & stat.S_IWOTH)
    except OSError:
        shared = False
    # Not TMPDIR: two users with folders of their own would not see each other.
    return (_RUNTIME if shared else Path("/tmp")) / (_NAME if shared else f".{_NAME}")


def _opened(path: Path) -> int:
    # Reading is enough for a lock. Opened without O_CREAT first: in a shared folder the kernel refuses even root to
    # "create" a file that is another user's (fs.protected_regular).
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        # Made beside and moved, so that nobody finds it before everybody may read it, whatever the umask.
        made, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            os.fchmod(made, 0o444)
            os.link(name, path)
        except FileExistsError:
            pass
        finally:
            os.close(made)
            Path(name).unlink()
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> CapabilityError:
    return CapabilityError(
        f"the lock of measuring runs, {path}, cannot be opened ({error.strerror}): set {FOLDER_VARIABLE} to a folder "
        "that this user may write to"
    )
