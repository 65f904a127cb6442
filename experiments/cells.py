"""Runs the cells of an experiment one after the other, each a process of its own, and goes on where it was stopped.

A cell that its folder holds, finished, is kept; one that failed is run again when the command is given again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.errors import HarnessError, SpecError
from harness.spec.composition import explain_hydra

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cell:
    """One call of run.py.

    name: of its folder.
    overrides: what is given to run.py, e.g. `bandwidth=30`.
    """

    name: str
    overrides: tuple[str, ...]

    def override(self, key: str) -> str:
        """The value given for `key`; empty where none was."""
        return next((text.split("=", 1)[1] for text in self.overrides if text.split("=", 1)[0] == key), "")


def finished(folder: Path) -> bool:
    """Whether a folder holds a cell that ran to its end."""
    try:
        return json.loads((folder / "status.json").read_text(encoding="utf-8"))["status"] == "ok"
    except (OSError, ValueError, KeyError):
        return False


def require_same(cell: Cell, folder: Path) -> None:
    """Raise SpecError where `folder` holds a finished cell of that name that was given other arguments."""
    try:
        typed = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return  # it does not say
    odd = set(map(str, typed or ())) ^ set(cell.overrides)
    if odd:
        raise SpecError(
            f"{folder} holds a cell of other arguments ({', '.join(sorted(odd))} only here or only there); allowed: "
            "another --folder, or that one removed"
        )


def guarded(main: Callable[[], int]) -> NoReturn:
    """End with the code of an experiment's `main`; what is wrong with its call becomes one line and exit code 2."""
    try:
        sys.exit(main())
    except (HarnessError, HydraException, OmegaConfBaseException, OSError) as error:
        of_hydra = isinstance(error, (HydraException, OmegaConfBaseException))  # some of Hydra's are OSErrors too
        told = explain_hydra(error) if of_hydra else error
        print(f"error: {told}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, HarnessError) else 2)


def run(cell: Cell, folder: Path) -> int:
    """Run one cell into `folder`; its exit code. The console's output goes to `console.log` in there."""
    command = [sys.executable, "run.py", *cell.overrides, f"hydra.run.dir={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if folder.exists():
        (folder / "console.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode in (1, 2, 130):
        print(f"{cell.name}: exit {done.returncode}: {(done.stderr or '').strip()[-300:]}", file=sys.stderr, flush=True)
    return done.returncode


def run_all(cells: Sequence[Cell], folder: Path, *, minutes: float | None = None) -> Iterable[Cell]:
    """Run what is not finished yet, and yield each cell that is. Starts no cell after `minutes`.

    Raises:
        SpecError: a cell that is finished was given other arguments.
    """
    started = time.monotonic()
    for number, cell in enumerate(cells, start=1):
        own = folder / cell.name
        if finished(own):
            require_same(cell, own)
        else:
            if minutes is not None and time.monotonic() - started > 60 * minutes:
                print(f"{cell.name}: left for the next call", flush=True)
                continue
            begun = time.monotonic()
            code = run(cell, own)
            print(f"[{number}/{len(cells)}] {cell.name}: exit {code}, {time.monotonic() - begun:.0f} s", flush=True)
            if code == 130:
                return
        if finished(own):
            yield cell


def summary(folder: Path) -> dict[str, Any]:
    """A cell's `summary.json`."""
    record: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return record


def percent(value: float | None, *, signed: bool = False) -> str:
    """A fraction as the tables have it."""
    if value is None:
        return ""
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, one trailing newline."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
