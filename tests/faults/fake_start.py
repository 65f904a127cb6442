"""A FAKE in place of what a run starts, for tests of the command line: a cell, a look at the host, a removal of files.

`python fake_start.py ARGUMENTS` is `run.py ARGUMENTS`: composition, schema and checks are the real ones, but what would
then be started ends at once.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import harness.cell
import harness.chores
import harness.sweeps.freezing
from harness.spec import PROJECT, Spec


def fake(spec: Spec, folder: Path) -> str | None:
    return None


if __name__ == "__main__":
    harness.cell.run = fake
    harness.sweeps.freezing.start_anew = lambda _: None  # the copy of the code would have the real cells
    for chore in ("_clean", "_doctor"):
        assert callable(getattr(harness.chores, chore))
        setattr(harness.chores, chore, lambda *_: 0)
    sys.argv[0] = str(PROJECT / "run.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
