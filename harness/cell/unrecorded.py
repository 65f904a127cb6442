"""A cell that nobody recorded, in a sweep over models and pairs of which some were: it says so, and nothing is run."""

from __future__ import annotations

from pathlib import Path

from harness.cell import replaying
from harness.cell.outcome import headline, title
from harness.errors import HarnessError
from harness.prediction.recorded_pair import NotRecorded
from harness.results.records import CellWriter
from harness.results.schema import Key, Row
from harness.spec import Spec

#: In `summary.json`, why the cell was left out.
LEFT_OUT = "left_out"


def reason(spec: Spec) -> str | None:
    """Why the cell is left out: nobody recorded what it needs, and `hardware.unrecorded` allows it; None: it is run."""
    if spec.hardware.kind != "recorded" or spec.hardware.unrecorded != "leave_out":
        return None
    try:
        replaying.read(spec)
    except NotRecorded as error:
        return str(error).partition(":")[0]
    except HarnessError:
        return None  # wrong in another way: whoever runs it says how
    return None


def write(spec: Spec, folder: Path, why: str) -> None:
    """The records of a cell that was left out: one row that no prediction and no measurement fills."""
    row = Row(Key("device-only"), feasible=False, infeasible_because=why)
    sentence = f"Left out: {why}."
    with CellWriter(folder) as writer:
        writer.splits([row])
        writer.summary(headline(spec) | {"verdict": None, LEFT_OUT: why, "sentence": sentence})
    print(f"{title(spec)}: left out, {why}", flush=True)
