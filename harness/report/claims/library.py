"""The cells that claims are computed from: found by experiment, model, hardware and bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from harness.report.claims.schema import Selection
from harness.results.cells import Cell, cells_in
from harness.results.records import STATUS, read_json


class Library:
    """The cells below some folders, by experiment; each is read once.

    Args:
        sources: folders that hold a folder for each experiment, or are one, or lie in one.
    """

    def __init__(self, sources: Sequence[Path]) -> None:
        self._sources = sources
        self._kept: dict[str, list[Cell]] = {}

    def of(self, selection: Selection) -> list[Cell]:
        """The cells that fit, the newest first, of the first experiment that has one."""
        for name in selection.experiment:
            fitting = [cell for cell in reversed(self._cells(name)) if _fits(cell, selection)]
            if fitting:
                return sorted(fitting, key=_finished, reverse=True)  # of equal age: the last by its path
        return []

    def _cells(self, name: str) -> list[Cell]:
        if name not in self._kept:
            folders = [source / name for source in self._sources] + [
                source for source in self._sources if name in (source.name, source.parent.name)
            ]
            self._kept[name] = [
                cell for folder in folders if folder.is_dir() for cell in cells_in(folder) if cell.status == "ok"
            ]
        return self._kept[name]


def _finished(cell: Cell) -> str:
    """When a cell ended, as ISO 8601 in UTC; cells that do not say are the oldest."""
    return str(read_json(cell.folder / STATUS).get("finished") or "")


def _fits(cell: Cell, selection: Selection) -> bool:
    return (
        selection.model in (None, cell.model)
        and (selection.hardware is None or cell.hardware in selection.hardware)
        and selection.bandwidth in (None, cell.bandwidth_mbps)
    )


def minutes_of(cell: Cell) -> float | None:
    """How long a cell took, by its own `status.json`."""
    status = read_json(cell.folder / STATUS)
    try:
        ends = [datetime.fromisoformat(str(status[name])) for name in ("started", "finished")]
    except (KeyError, ValueError):
        return None
    return (ends[1] - ends[0]).total_seconds() / 60
