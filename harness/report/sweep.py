"""A sweep, put together from what its cells left on disk, also when some of them failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.report.html import sweep_page
from harness.report.junit import junit_xml
from harness.report.markdown import FILE as MARKDOWN
from harness.report.markdown import summary_markdown
from harness.results.cells import Cell, find_cells, swept_keys
from harness.results.records import csv_text, write_atomic, write_json
from harness.results.schema import SWEEP_COLUMNS, columns_of

RESULTS = "results.csv"
JUNIT = "junit.xml"
PAGE = "report.html"

#: DESIGN, "CLI": the exit code of the whole is the first of these that any cell ended with.
_EXIT_CODES = (130, 2, 1, 3, 4, 0)
#: The figures that each cell has in the sweep's summary.
HEADLINE = (
    "best_predicted",
    "best_measured",
    "mape",
    "forecast_mape",
    "paper_mape",
    "bias",
    "kendall_tau",
    "regret",
    "noise_floor",
    "drift",
    "speedup_vs_scission",
    "speedup_vs_device_only",
    "speedup_vs_edge_only",
    "sentence",
)


def aggregate(folder: Path) -> dict[str, Any]:
    """Writes `results.csv`, `summary.json`, `summary.md`, `report.html` and `junit.xml` of the sweep in `folder`.

    Returns the summary: `cells`, each with its status and headline figures, the overall `verdict` and
    `exit_code`. A cell that failed or cannot be read is there with its reason; nothing here raises for it.
    """
    return write_sweep(find_cells(Path(folder)), Path(folder))


def write_sweep(cells: list[Cell], folder: Path) -> dict[str, Any]:
    """The same of given cells, whose names are their paths from `folder`."""
    summary = {
        "verdict": overall_verdict(cells),
        "exit_code": overall_exit_code(cells),
        "cells": [_headline(cell) for cell in cells],
    }
    write_atomic(folder / RESULTS, results_csv(cells))
    write_atomic(folder / JUNIT, junit_xml(cells, suite=folder.resolve().name))
    write_atomic(folder / MARKDOWN, summary_markdown(cells, folder.resolve().name))
    write_atomic(folder / PAGE, sweep_page(cells, summary, title=folder.resolve().name))
    write_json(folder / "summary.json", summary)
    return summary


def results_csv(cells: list[Cell]) -> str:
    """All rows of all good cells, one table; a line for each other cell, its reason in `infeasible_because`.

    The rows of an invalid or failed cell stay in its own folder: nothing should be plotted with them.
    """
    keys = swept_keys(cells)
    records: list[dict[str, Any]] = []
    for cell in cells:
        start: dict[str, Any] = {name: getattr(cell, name) for name in SWEEP_COLUMNS}
        start |= {f"sweep.{key}": cell.overrides.get(key) for key in keys}
        if cell.status == "ok" and cell.rows:
            records += [start | row.record() for row in cell.rows]
        else:
            reason = f"cell {cell.name} {cell.status}: {cell.error or 'it has no rows'}"
            records.append(start | {"feasible": False, "infeasible_because": reason})
    own = columns_of(row for cell in cells if cell.status == "ok" for row in cell.rows)
    return csv_text([*SWEEP_COLUMNS, *(f"sweep.{key}" for key in keys), *own], records)


def _headline(cell: Cell) -> dict[str, Any]:
    names = ("name", "status", "verdict", "error", "exit_code", "attempts", *SWEEP_COLUMNS, "overrides")
    return {name: getattr(cell, name) for name in names} | {name: cell.summary.get(name) for name in HEADLINE}


def overall_verdict(cells: list[Cell]) -> str | None:
    """The worst verdict of the cells: fail before inconclusive before pass; None where no cell has one."""
    verdicts = {cell.verdict for cell in cells}
    return next((verdict for verdict in ("fail", "inconclusive", "pass") if verdict in verdicts), None)


def overall_exit_code(cells: list[Cell]) -> int:
    """The exit code of the sweep: the first of DESIGN's order that a cell ended with; 1 for no cells."""
    if not cells:
        return 1
    codes = {code if (code := cell.exit_code) in _EXIT_CODES else 1 for cell in cells}
    return next(code for code in _EXIT_CODES if code in codes)
