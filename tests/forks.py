"""run.py and its stand-ins, each in a fork of one process that has imported what they import.

A start of Python with Hydra and NumPy takes longer than what most tests of a command line then look at. The arguments,
the folder, the environment, the console and the exit code are the call's own, as in a process of its own; that such a
process does the same is for the tests that start one, among them every test that measures a cell.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Not from harness.spec: that brings NumPy, which the server may load only once its threads are forbidden.
PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 120


def call(
    script: Path, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python SCRIPT ARGUMENTS` in `folder` comes to; -9 where it took longer than `TIMEOUT_S`.

    Args:
        environment: all of it; None: this process's own, and the project's modules are found.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    own = {**os.environ, "PYTHONPATH": str(PROJECT)} if environment is None else dict(environment)
    request = {"script": str(script), "folder": str(folder), "arguments": arguments, "environment": own}
    print(json.dumps(request), file=server.stdin, flush=True)
    answer = json.loads(server.stdout.readline())
    return subprocess.CompletedProcess([str(script), *arguments], answer["code"], answer["out"], answer["err"])


@functools.cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.forks"]
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.wait)
    assert process.stdin is not None
    atexit.register(process.stdin.close)  # the last to be registered is the first to run; without input it ends
    return process


def _serve() -> None:
    """Answer each line of the standard input; ends with it."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as run.py has it: no thread may be there when it forks
    import hydra  # noqa: F401

    import harness.cell.predicting
    import harness.sweeps.freezing  # noqa: F401
    from harness import app, chores  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                _become(request, out.fileno(), err.fileno())
            code = _ended(child)
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        print(json.dumps({"code": code, "out": texts[0], "err": texts[1]}), file=answers, flush=True)


def _ended(child: int) -> int:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(TIMEOUT_S)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status)


def _become(request: Mapping[str, Any], out: int, err: int) -> None:
    """Do in this process what was asked for, and end it."""
    code = 1
    try:
        for number, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, err)):
            os.dup2(source, number)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        script = request["script"]
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = [script, *request["arguments"]]
        sys.orig_argv = [sys.executable, *sys.argv]
        sys.path[:1] = [str(Path(script).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
