"""Runs one command for as long as somebody renews its lease, and leaves nothing of it behind (standard library alone).

    python warden.py OPTIONS_AS_JSON

Somebody is whoever holds the other end of standard input: over ssh the harness, and beside it the harness itself. Each
byte renews; the end of the input, a lapsed lease, SIGTERM, SIGINT or SIGHUP ends the command, everything that it
started, and its private folder. So it does not take the harness to die politely, nor the network to say good-bye.

Standard output has two lines: `{"ready": ...}` once the file `ready` is there, and `{"ended": code}` where the command
ended by itself. What the command prints goes to standard error.

Options: command, environment (added), cpu (core, or null), lease_s (or null: as long as the input is open), folder
(made for this user alone, removed at the end; or null), ready (path to wait for, or null), remove (more folders that
are removed at the end).
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

_POLL_S = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


class _Ended(Exception):
    """Somebody asks to end. `begun`: it ends by now, so that no further signal may interrupt that."""

    begun = False


def main(argv: list[str]) -> int:
    """Run the command. Returns its code, 0 where it was ended, 1 where it could not be started."""
    options = json.loads(argv[0])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what the command leaves behind becomes ours
    folders = list(options["remove"])
    try:
        if options["folder"]:
            os.mkdir(options["folder"], 0o700)  # noqa: PTH102 (fails where it is there: then it is somebody else's)
            folders.append(options["folder"])
        return _run(options)
    except _Ended:
        return 0
    except OSError as error:
        print(f"cannot start {options['command'][0]}: {error.strerror}: {error.filename}", file=sys.stderr, flush=True)
        return 1
    finally:
        _Ended.begun = True  # to ignore a signal that is pending already is an error of Python's
        _kill_all()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _run(options: dict) -> int:  # type: ignore[type-arg]
    if options["cpu"] is not None:
        os.sched_setaffinity(0, {options["cpu"]})
    child = subprocess.Popen(
        options["command"],
        env={**os.environ, **options["environment"]},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        start_new_session=True,
        preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),  # noqa: PLW1509 (no threads here)
    )
    source, lease_s, ready = sys.stdin.fileno(), options["lease_s"], options["ready"]
    deadline = time.monotonic() + (lease_s or 0.0)
    while True:
        # Waiting for the command to come up is the one thing that needs to be looked for often.
        patience = _POLL_S if ready else 1.0
        if lease_s is not None:
            patience = min(patience, max(0.0, deadline - time.monotonic()))
        if select.select([source], [], [], patience)[0]:
            if not os.read(source, 4096):
                raise _Ended
            deadline = time.monotonic() + (lease_s or 0.0)
        elif lease_s is not None and time.monotonic() >= deadline:
            print(f"nobody renewed the lease of {lease_s:g} s", file=sys.stderr, flush=True)
            raise _Ended
        if ready and os.path.exists(ready):  # noqa: PTH110 (this file imports as little as it can)
            _say({"ready": child.pid})
            ready = None
        code = child.poll()
        if code is not None:
            _say({"ended": code})
            return code if code > 0 else 1


def _kill_all() -> None:
    """Kill every descendant until there is none: orphans of a killed child become ours, and are killed next."""
    while children := _children():
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _children() -> list[int]:
    own, found = str(os.getpid()).encode(), []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 (as above)
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 (as above)
            if file.read().rpartition(b")")[2].split()[1] == own:
                found.append(int(name))
    return found


def _say(record: dict) -> None:  # type: ignore[type-arg]
    with suppress(OSError):  # nobody listens any more: the input's end says the same
        print(json.dumps(record), flush=True)


def _end(_number: int, _frame: object) -> None:
    if not _Ended.begun:  # they may come together, and one is enough
        _Ended.begun = True
        raise _Ended


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
