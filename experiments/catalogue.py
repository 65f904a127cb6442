"""What is on record: for each experiment its cells, the minutes they took, on which machine, and how they came out.

    python experiments/catalogue.py [FOLDER]

Writes README.md in the folder of all that is on record, experiments/recorded unless told; `experiments/record.py` does
so too.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import ROOT, guarded, markdown
from harness.results.cells import Cell, find_cells
from harness.results.records import ENVIRONMENT, STATUS, read_json, write_atomic

RECORDED = ROOT / "experiments" / "recorded"
PAGE = "README.md"
_HEAD = """\
# What is on record

Written by `python experiments/catalogue.py` from the cells beside it. Redraw all of it, without root, link or
TensorFlow: `python run.py mode=report from=experiments/recorded report.figures=all`; set it beside what the paper
claims: `python run.py mode=repro`. MAPE is the calibrated prediction's, of the cells that compare one with a
measurement; an experiment whose cells measure nothing (a prediction, a training) has none.

"""


def page(folder: Path) -> str:
    """The page for what lies in `folder`, an experiment a folder."""
    rows = [_row(place) for place in sorted(folder.iterdir()) if place.is_dir()]
    header = ["experiment", "cells", "minutes", "MAPE (median, most)", "verdicts", "day", "machine"]
    return _HEAD + markdown(header, [row for row in rows if row])


def _row(place: Path) -> list[str]:
    cells = [cell for cell in find_cells(place) if cell.status == "ok"]
    if not cells:
        return []
    known = [cell.summary["mape"] for cell in cells if cell.summary.get("mape") is not None]
    mape = f"{median(known):.2%}, {max(known):.2%}" if known else "-"
    verdicts = Counter(cell.summary.get("verdict") for cell in cells)
    shown = ", ".join(f"{count} {name}" for name, count in verdicts.items() if name) or "-"
    days = sorted({str(read_json(cell.folder / STATUS)["started"])[:10] for cell in cells})
    machines = "; ".join(sorted({machine for cell in cells if (machine := _machine(cell))})) or "-"
    unrecorded = sum(cell.summary.get("left_out") is not None for cell in cells)
    count = f"{len(cells)}{f' ({unrecorded} of hardware that nobody recorded)' if unrecorded else ''}"
    minutes = f"{max(0.1, sum(map(_minutes, cells))):.1f}"
    return [f"`{place.name}`", count, minutes, mape, shown, " to ".join(days[:1] + days[1:][-1:]), machines]


def _minutes(cell: Cell) -> float:
    status = read_json(cell.folder / STATUS)
    begun, ended = (datetime.fromisoformat(status[name]) for name in ("started", "finished"))
    return (ended - begun).total_seconds() / 60


def _machine(cell: Cell) -> str:
    """Empty for a cell that asked the host for nothing but to reckon."""
    found = read_json(cell.folder / ENVIRONMENT)
    return f"{found['cpu']}, {found['cores']} cores" if "cpu" in found else ""


def main(arguments: list[str]) -> int:
    """0, or 2 for a wrong call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=RECORDED, help="of all that is on record")
    folder = parser.parse_args(arguments).folder
    if not folder.is_dir():
        parser.error(f"{folder}: no such folder; give the one that experiments/record.py writes to")
    write_atomic(folder / PAGE, page(folder))
    return 0


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
