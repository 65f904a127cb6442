"""Everything that a reader sees of one cell, made again from what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.errors_figure import describe, errors_figure
from harness.report.figure import cuts_figure
from harness.report.html import cell_page
from harness.results.lookup import FILE as LOOKUP
from harness.results.lookup import Lookup
from harness.results.records import (
    ENVIRONMENT,
    STATUS,
    SUMMARY,
    read_json,
    read_splits,
    write_atomic,
)

PAGE = "report.html"


def write_report(
    folder: Path, *, title: str, command: str, formats: Sequence[str] = ("svg", "png"), dpi: int = 150
) -> list[Path]:
    """Writes the figures and `report.html` of the cell in `folder`; returns what it wrote.

    Args:
        folder: the cell; `splits.csv` must be there, `summary.json`, `env.json` and `status.json` may be.
        title: what was run, in words.
        command: the exact command that runs the cell again.
        formats: file types of the figure. The page shows it where `svg` is one of them.

    `dpi` is the resolution of bitmaps in dots per inch.

    Raises HarnessError where a record is missing or cannot be read.
    """
    folder = Path(folder)
    rows, summary = read_splits(folder), read_json(folder / SUMMARY)
    status = read_json(folder / STATUS)
    cuts = cuts_figure(rows, summary, title, folder, formats, dpi)
    errors = errors_figure(rows, title, folder, formats, dpi)
    page = cell_page(
        title=title,
        rows=rows,
        summary=summary,
        environment=read_json(folder / ENVIRONMENT),
        command=command,
        figure_svg=_svg(cuts),
        errors_svg=_svg(errors),
        errors_told=describe(rows, summary),
        lookup=Lookup.of(read_json(folder / LOOKUP)) if (folder / LOOKUP).exists() else None,
        status=status.get("status"),
        error=str(status.get("error") or ""),
    )
    write_atomic(folder / PAGE, page)
    return [*cuts, *errors, folder / PAGE]


def _svg(figures: Sequence[Path]) -> str | None:
    return next((path.read_text(encoding="utf-8") for path in figures if path.suffix == ".svg"), None)
