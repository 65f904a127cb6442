"""Work that needs TensorFlow, done for a cell in a process of its own (see `harness.preprocessor.worker`).

Whoever measures afterwards must not have TensorFlow or its threads loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from harness import errors
from harness.errors import HarnessError
from harness.spec import CODE
from harness.testbed.surroundings import last_line


def run(
    module: str,
    request: Mapping[str, Any],
    *,
    log: Path,
    advance: Callable[[str, float], None],
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `python -m module` on a request and give its result.

    Args:
        log: file for what its libraries print.
        advance: told (what is being done, share of it done).
        environment: variables in addition to this process's.

    Raises:
        HarnessError: of the kind that the work raised; also where the process crashed or was killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(CODE), **(environment or {})}
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            env=variables,
            cwd=CODE,
            text=True,
        )
        try:
            result = _converse(process, json.dumps(dict(request)), advance)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if result is not None:
        return result
    ending = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    raise HarnessError(f"{module} {ending} without a result: {last_line(log.read_bytes())}; see {log}")


def _converse(
    process: subprocess.Popen[str], request: str, advance: Callable[[str, float], None]
) -> dict[str, Any] | None:
    """Hand the request over and follow the answers; None where the process ends without a result."""
    try:
        _stream(process.stdin).write(request)
        _stream(process.stdin).close()
    except BrokenPipeError:
        return None
    for line in _stream(process.stdout):
        try:
            answer = json.loads(line)
        except ValueError:
            return None  # cut short
        if "advance" in answer:
            advance(*answer["advance"])
        elif "error" in answer:
            kind, message = answer["error"]
            raise getattr(errors, kind, HarnessError)(message)
        else:
            result: dict[str, Any] = answer["result"]
            return result
    return None


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process was started without pipes")
    return stream
