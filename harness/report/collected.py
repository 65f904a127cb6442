"""One table, page and summary over any runs on disk (`mode=report from=…`): cells, sweeps, or folders of either."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.report.sweep import write_sweep
from harness.results.cells import gathered


def write(sources: Sequence[Path], folder: Path) -> int:
    """Gather the cells into `folder`: results.csv, report.html, junit.xml, summary.json. Returns how many there are.

    Raises:
        SpecError: a source is missing, or holds no cell.
    """
    found = gathered(sources, "from=")
    cells = [replace(cell, name=os.path.relpath(cell.folder.resolve(), folder.resolve())) for cell in found]
    folder.mkdir(parents=True, exist_ok=True)
    write_sweep(cells, folder)
    return len(cells)
