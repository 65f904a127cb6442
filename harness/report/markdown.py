"""A summary in Markdown, for the page of a CI job: the verdict, a line a cell, why those failed that did."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.report import style
from harness.results.cells import Cell, cells_in
from harness.results.records import write_atomic

FILE = "summary.md"
#: GitHub Actions shows what a step appends to the file that this names.
_STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_HEADER = ("cell", "model, hardware", "Mbit/s", "RTT (ms)", "outcome", "MAPE", "forecast", "regret", "best measured")


def summary_markdown(cells: Sequence[Cell], title: str) -> str:
    """The summary of some cells, as text.

    Args:
        cells: in the order to be shown.
        title: what they are of.
    """
    broken = sum(cell.status != "ok" for cell in cells)
    verdicts = [cell.verdict for cell in cells if cell.status == "ok"]
    counted = [
        f"{verdicts.count(verdict)} {verdict}" for verdict in ("pass", "fail", "inconclusive") if verdict in verdicts
    ]
    if None in verdicts:
        counted.append(f"{verdicts.count(None)} without a verdict")
    if broken:
        counted.append(f"{broken} broken")
    lines = [f"### {_plain(title)}: {', '.join(counted) or 'no cells'}", ""]
    lines += [_row(_HEADER), _row(["---"] * len(_HEADER)), *(_row(_line(cell)) for cell in cells)]
    for cell in cells:
        lines += [f"- {_plain(cell.name)}: {_plain(reason)}" for reason in _reasons(cell)]
    sentences = [str(cell.summary.get("sentence") or "") for cell in cells]
    if len(cells) == 1 and sentences[0]:
        lines += ["", _plain(sentences[0])]
    first = next((place for place, each in enumerate(lines) if each.startswith("- ")), None)
    if first is not None:
        lines.insert(first, "")
    return "\n".join(lines) + "\n"


def write(folder: Path, *, announce: bool = False) -> None:
    """Put `summary.md` into the folder of a cell or of a sweep.

    Args:
        announce: also append it to the page of the CI job that this runs in, where there is one.
    """
    text = summary_markdown(cells_in(folder), folder.resolve().name)
    write_atomic(folder / FILE, text)
    page = os.environ.get(_STEP_SUMMARY)
    if announce and page:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(text)


def _line(cell: Cell) -> list[str]:
    outcome = (cell.verdict or "ok") if cell.status == "ok" else cell.status
    again = f" (attempt {cell.attempts})" if cell.attempts > 1 else ""
    return [
        cell.name,
        ", ".join(part for part in (cell.model, cell.hardware) if part),
        "" if cell.bandwidth_mbps is None else f"{cell.bandwidth_mbps:g}",
        "" if cell.rtt_ms is None else f"{cell.rtt_ms:g}",
        f"{outcome}{again}",
        style.percent(cell.summary.get("mape")),
        style.percent(cell.summary.get("forecast_mape")),
        style.percent(cell.summary.get("regret")),
        style.key_name(cell.summary.get("best_measured")),
    ]


def _reasons(cell: Cell) -> list[str]:
    return [cell.error] if cell.error else [str(each) for each in cell.summary.get("reasons") or ()]


def _row(parts: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(part) for part in parts) + " |"


def _plain(text: str) -> str:
    """Nothing in it is taken for Markdown or HTML."""
    escaped = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    for sign in ("\\", "|", "*", "_", "`", "[", "]", "~"):
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped
