"""SIGKILL for one part of a running cell at a random moment: what became of the cell, and what is wrong with that."""

from __future__ import annotations

import csv
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.runs import Aftermath, Host, samples_of

#: What stands in the command of each part, and in the error of a run that lost it.
PARTS = {
    "harness": ("run.py", ""),
    "agent": ("harness.testbed.agent", "agent"),
    "relay": ("netem.relay", "relay"),
    "tritonserver": ("bin/tritonserver ", "triton"),
    "python stub": ("triton_python_backend_stub", "stub"),
}
#: A real cell, as small as one can be: every phase of the main job but long ones.
CELL = (
    "model=mobilenetv2",
    "measure.samples=2",
    "measure.warmup=1",
    "measure.splits=[35,80]",
    "profile.rounds=3",
    "profile.warmup=1",
)
#: Until a run has noticed, taken everything down and written its records; far below a request's own time-out of 60 s.
NOTICED_WITHIN_S = 45.0


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    struck_after_s: since its start; None where it had ended before.
    ended_after_s: since the blow.
    wrong: what is not as it should be, a line each.
    """

    part: str
    struck_after_s: float | None
    while_it_said: str
    ended_after_s: float | None
    code: int
    status: str
    error: str
    wrong: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def kill(host: Host, folder: Path, part: str, usual_s: float, seed: int) -> Outcome:
    """One run whose `part` is killed at a moment that is uniform over what a run usually takes."""
    needle, cause = PARTS[part]
    latest_s = usual_s if part == "harness" else 0.75 * usual_s  # a quarter of it has gone by when the last part is up
    left, run, blow = host.strike(folder, needle, random.Random(seed).uniform(0, latest_s))
    took_s = time.monotonic() - blow.at_s if blow else None
    status = status_of(folder)
    wrong = left_behind(left) + torn(folder)
    if part == "harness":
        if blow and status and status["status"] != "ok":
            wrong.append(f"a killed run says {status['status']}")
    elif blow and run.returncode == 1:
        wrong += misreported(status, cause)
        if took_s is not None and took_s > NOTICED_WITHIN_S:
            wrong.append(f"it went on for {took_s:.0f} s")
    elif run.returncode not in (0, 3, 4):  # struck when everything was measured, or not at all
        wrong.append(f"exit code {run.returncode}: {host.output()[1].strip()[-300:]}")
    elif blow and (later := samples_of(folder) - blow.samples) > 1:  # one may have been on its way into the file
        wrong.append(f"it measured {later} requests without that part, and says nothing")
    return Outcome(
        part,
        blow.after_s if blow else None,
        blow.last_line[:100] if blow else "",
        took_s,
        run.returncode,
        status.get("status", ""),
        status.get("error") or "",
        wrong,
    )


def torn(folder: Path) -> list[str]:
    """Files of a cell that a reader would choke on. The last line of a journal may be cut short: readers know that."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".jsonl":
                for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                    json.loads(line)
            elif path.suffix == ".csv":
                with path.open(encoding="utf-8", newline="") as file:
                    widths = {len(row) for row in csv.reader(file)}
                if len(widths) > 1:
                    raise ValueError(f"rows of {sorted(widths)} columns")
        except ValueError as error:
            wrong.append(f"{path.name} is torn: {error}")
    return wrong


def misreported(status: dict[str, Any], cause: str) -> list[str]:
    """What is wrong with the status of a cell that failed; the cause is in small letters."""
    error = str(status.get("error") or "")
    wrong = [] if status.get("status") == "failed" else [f"status {status.get('status')!r} instead of 'failed'"]
    if cause not in error.lower():
        wrong.append(f"the error does not name {cause!r}: {error}")
    if "\n" in error:
        wrong.append("the error has several lines")
    return wrong


def left_behind(left: Aftermath) -> list[str]:
    """What of a run is still there."""
    found = {
        "processes": left.processes_after,
        "namespaces": left.namespaces_after,
        "interfaces": left.interfaces,
        "files": left.files,
    }
    return [f"{what} left behind: {sorted(names)}" for what, names in found.items() if names]


def status_of(folder: Path) -> dict[str, Any]:
    """`status.json` of a cell; empty where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
