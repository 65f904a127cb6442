"""The inner side of a process that computes for a cell: a request on standard input, JSON lines on standard output.

    {"advance": [what, share]}   as often as it likes
    {"result": {...}}            once, at the end; or
    {"error": [kind, message]}   the name of an error of harness/errors.py; or `crash`, its traceback on standard error

Everything that libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from harness.errors import HarnessError

_PR_SET_PDEATHSIG = 1  # prctl(2)
#: What does the work: (request, advance) to the result.
Work = Callable[[dict[str, Any], Callable[[str, float], None]], dict[str, Any]]


def serve(work: Work) -> None:
    """Do one piece of work and end the process with code 0, or 1 where it failed; killed with whoever asked for it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**record: Any) -> None:
        answers.write(json.dumps(record) + "\n")
        answers.flush()

    try:
        result = work(json.load(sys.stdin), lambda what, share: answer(advance=[what, share]))
    except HarnessError as error:
        answer(error=[type(error).__name__, " ".join(str(error).split())])
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        answer(error=["crash", f"{type(error).__name__}: {' '.join(str(error).split())}"])
        sys.exit(1)
    answer(result=result)
