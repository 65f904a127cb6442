"""Runs many command lines of run.py as a user would, each in a fork of one process that has everything imported.

Reads one JSON list of arguments a line, answers with one JSON object a line: `code`, `out`, `err`, `files`.
Composition, schema and checks are the real ones; only what would then be started (a cell, a look at the host, the
removal of files) is a fake that ends at once.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hydra  # noqa: F401

import harness.cell
import harness.chores
import harness.spec.composition
import harness.sweeps.freezing
from harness import app  # noqa: F401
from harness.spec import PROJECT, Spec

TIMEOUT_S = 60


def fake(spec: Spec, folder: Path) -> str | None:
    return None


def visit(arguments: list[str], folder: Path) -> dict[str, object]:
    """One command line, in a process and a folder of its own."""
    out, err = folder / "out.txt", folder / "err.txt"
    work = folder / "work"
    work.mkdir()
    pid = os.fork()
    if pid == 0:
        _become(arguments, work, out, err)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(TIMEOUT_S)
    _, status = os.waitpid(pid, 0)
    signal.alarm(0)
    files = sorted(str(path.relative_to(work)) for path in work.rglob("*"))
    texts = {name: path.read_text(errors="replace") for name, path in (("out", out), ("err", err))}
    return {"code": os.waitstatus_to_exitcode(status), "files": files, **texts}


def _become(arguments: list[str], work: Path, out: Path, err: Path) -> None:
    code = 1
    try:
        os.chdir(work)
        for stream, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        harness.cell.run = fake
        harness.sweeps.freezing.start_anew = lambda _: None  # the copy of the code would have the real cells
        for chore in ("_clean", "_doctor"):
            assert callable(getattr(harness.chores, chore))
            setattr(harness.chores, chore, lambda *_: 0)
        sys.argv = [str(PROJECT / "run.py"), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        folder = Path(tempfile.mkdtemp(prefix="spec-"))
        try:
            print(json.dumps(visit(json.loads(line), folder)), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
