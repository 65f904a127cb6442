"""One table, page and summary over any runs on disk (`mode=report from=…`): cells, sweeps, or folders of either."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import SpecError
from harness.report.sweep import write_sweep
from harness.results.cells import Cell, find_cells, is_cell, read_cell


def collect(sources: Sequence[Path]) -> list[Cell]:
    """The cells in these folders, each once, in the order given.

    Raises:
        SpecError: a folder is missing, or holds no cell.
    """
    found: dict[Path, Cell] = {}
    for source in sources:
        if not source.is_dir():
            raise SpecError(f"from={source}: there is no such folder; allowed: folders of cells or of sweeps")
        cells = [read_cell(source, source.name)] if is_cell(source) else find_cells(source)
        if not cells:
            raise SpecError(f"from={source}: no cell in it; allowed: a folder with a spec.yaml, or one above it")
        for cell in cells:
            found.setdefault(cell.folder.resolve(), cell)
    return list(found.values())


def write(sources: Sequence[Path], folder: Path) -> int:
    """Gather the cells into `folder`: results.csv, report.html, junit.xml, summary.json. Returns how many there are.

    Raises:
        SpecError: as `collect`.
    """
    cells = [replace(cell, name=os.path.relpath(cell.folder.resolve(), folder.resolve())) for cell in collect(sources)]
    folder.mkdir(parents=True, exist_ok=True)
    write_sweep(cells, folder)
    return len(cells)
