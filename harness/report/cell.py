"""Everything that a reader sees of one cell, made again from what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.figure import cuts_figure
from harness.report.html import cell_page
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
    """Writes the figure and `report.html` of the cell in `folder`; returns what it wrote.

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
    figures = cuts_figure(rows, summary, title, folder, formats, dpi)
    svg = next((path for path in figures if path.suffix == ".svg"), None)
    page = cell_page(
        title=title,
        rows=rows,
        summary=summary,
        environment=read_json(folder / ENVIRONMENT),
        command=command,
        figure_svg=svg.read_text(encoding="utf-8") if svg else None,
        status=status.get("status"),
        error=str(status.get("error") or ""),
    )
    write_atomic(folder / PAGE, page)
    return [*figures, folder / PAGE]
