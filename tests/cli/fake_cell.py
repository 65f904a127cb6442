"""A FAKE in place of harness.cell, for tests of the command line only: nothing is profiled or measured.

`python fake_cell.py ARGUMENTS` is `run.py ARGUMENTS` with cells that end as their bandwidth says. Each cell
that really starts adds a line to `calls.txt` in the current directory, and takes FAKE_CELL_SECONDS.
"""

from __future__ import annotations

import errno
import os
import runpy
import signal
import sys
import time
import types
from pathlib import Path

from harness.errors import EdgeError, GateFailure, SpecError
from harness.spec import CODE, Spec

PASS, FAIL, INCONCLUSIVE, NO_VERDICT = 10.0, 11.0, 12.0, 13.0
NO_EDGE, CRASH, INTERRUPT, KILLED, NO_PROFILE, GATE, EXITS = 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0
FULL, NO_STATUS = 27.0, 28.0
VERDICTS = {PASS: "pass", FAIL: "fail", INCONCLUSIVE: "inconclusive", NO_VERDICT: None}
ERRORS = {
    NO_EDGE: EdgeError("the edge\nis gone"),
    CRASH: ZeroDivisionError("by zero"),
    INTERRUPT: KeyboardInterrupt(),
    NO_PROFILE: SpecError("no profile; run mode=profile"),
    GATE: GateFailure("off by far"),
    EXITS: SystemExit(0),
    FULL: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "cell/samples.jsonl"),
}


def run(spec: Spec, folder: Path) -> str | None:
    with Path("calls.txt").open("a") as calls:
        calls.write(f"{spec.bandwidth:g} {spec.seed}\n")
    time.sleep(float(os.environ.get("FAKE_CELL_SECONDS", "0")))
    if spec.bandwidth == KILLED:
        os.kill(os.getpid(), signal.SIGTERM)
    if spec.bandwidth == NO_STATUS:
        (folder / "status.json").mkdir()
    if spec.bandwidth in ERRORS:
        raise ERRORS[spec.bandwidth]
    return VERDICTS.get(spec.bandwidth, "pass")


if __name__ == "__main__":
    cell = types.ModuleType("harness.cell")
    cell.run = run  # type: ignore[attr-defined]
    cell.check = lambda spec: None  # type: ignore[attr-defined]
    sys.modules["harness.cell"] = cell
    sys.argv[0] = str(CODE / "run.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
