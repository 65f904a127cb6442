"""The tables on the screen; plain text where standard output is not a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from harness.report import style
from harness.results.schema import Key, Row
from harness.transfer.encoding import Encoding
from harness.validation.statistics import best_split

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_MEASURED_HEADERS = (
    "payload\n(kB)",
    "forecast\n(ms)",
    "predicted\n(ms)",
    "measured\n(ms)",
    "95 % interval\n(ms)",
    "error\n(%)",
)
_WIDTH = 100  # fits a log and half a screen


def print_forecast(rows: Sequence[Row], *, min_split: int, title: str = "Forecast", file: TextIO | None = None) -> None:
    """What the profile predicts, before anything is measured: the baselines and the best splits.

    For each transfer layer the best split of all, the best from `min_split` on, and their next two.
    """
    table = new_table(title)
    table.add_column("candidate", no_wrap=True)
    for header in ("payload\n(kB)", "forecast\n(ms)", "paper, Eqs. 1-6\n(ms)"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("rank", no_wrap=True)
    notes = _notes(rows, min_split)
    shown = [row for row in rows if row.key.split is None or row.key in notes]
    for row in sorted(shown, key=lambda each: (each.key.split is not None, _forecast(each) or 0.0)):
        table.add_row(
            style.short_name(row.key),
            style.payload(row.payload_bytes),
            style.milliseconds(_forecast(row)),
            style.milliseconds(row.paper_ms),
            notes.get(row.key, ""),
        )
    new_console(file).print(table)


def _forecast(row: Row) -> float | None:
    return row.forecast_ms if row.forecast_ms is not None else row.predicted_ms


def _notes(rows: Sequence[Row], min_split: int) -> dict[Key, str]:
    """The splits worth a line, and why; ranked by forecast."""
    notes: dict[Key, str] = {}
    for encoding in dict.fromkeys(Encoding.of(row.key) for row in rows if row.key.split is not None):
        own = [row for row in rows if row.key.split is not None and Encoding.of(row.key) == encoding]
        for rank in range(1, 4):
            found = best_split([row for row in own if row.key not in notes], _forecast, min_split)
            if found:
                notes[found.key] = f"{encoding} no. {rank} from cut {min_split} on"
        first = best_split(own, _forecast, 0)
        if first and (first.key.split or 0) < min_split:
            notes[first.key] = f"{encoding} best, but below min_split"
    return notes


def print_final(
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    *,
    title: str = "Predicted against measured",
    file: TextIO | None = None,
) -> None:
    """Every measured candidate with its predictions, and what the cell's summary says of them."""
    table = new_table(title)
    table.add_column("candidate", no_wrap=True)
    for header in _MEASURED_HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    marks = {summary.get("best_measured"): "best split", summary.get("best_predicted"): "predicted best"}
    if summary.get("best_measured") == summary.get("best_predicted"):
        marks = {summary.get("best_measured"): "best, predicted"}
    shown = [row for row in rows if row.measured_ms is not None or str(row.key) in marks]
    for row in sorted(shown, key=lambda each: (each.key.split is not None, each.key)):
        mark = marks.get(str(row.key), "")
        table.add_row(*_measured_line(row), mark, style="bold" if mark else None)
    console = new_console(file)
    console.print(table)
    for line in summary_lines(summary):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _measured_line(row: Row) -> list[str]:
    between = style.NOTHING
    if row.measured_low_ms is not None and row.measured_high_ms is not None:
        between = f"{style.milliseconds(row.measured_low_ms)}-{style.milliseconds(row.measured_high_ms)}"
    return [
        style.short_name(row.key),
        style.payload(row.payload_bytes),
        style.milliseconds(row.forecast_ms),
        style.milliseconds(row.predicted_ms),
        style.milliseconds(row.measured_ms),
        between,
        style.percent(row.error, signed=True).removesuffix("%"),
    ]


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """What the summary says, in a few lines of plain text; the verdict and its reasons come last."""

    def percent(key: str) -> str:
        return style.percent(summary.get(key))

    lines = [
        str(summary.get("sentence") or ""),
        f"MAPE {percent('mape')} (p95 {percent('p95_abs_error')}, bias {percent('bias')}); forecast "
        f"{percent('forecast_mape')}; paper {percent('paper_mape')}; noise floor {percent('noise_floor')}, "
        f"drift {percent('drift')}; regret {percent('regret')}",
    ]
    ratios = (("Scission", "scission"), ("device-only", "device_only"), ("edge-only", "edge_only"))
    pairs = [(label, summary.get(f"speedup_vs_{key}") or {}) for label, key in ratios]
    speedups = [f"{label} {style.factor(pair.get('measured'))}" for label, pair in pairs if pair.get("measured")]
    if speedups:
        lines.append(f"Measured speed-up over {', '.join(speedups)}")
    lines.append(style.headline(summary.get("verdict")))
    lines += [f"  {reason}" for reason in summary.get("reasons") or ()]
    lines += _selftest_lines(summary.get("selftest") or ())
    return [line for line in lines if line]


def _selftest_lines(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the gate fared with each planted fault, and what gave it away."""
    if not results:
        return []
    caught = sum(bool(each["caught"]) for each in results)
    lines = [f"Self-test of the gate: {caught} of {len(results)} planted faults turned it red"]
    for each in results:
        given_away = f": {each['reasons'][0]}" if each["reasons"] else ""
        lines.append(f"  {each['fault']}: {each['verdict'] or 'no verdict'}{given_away}")
    return lines


def new_table(title: str) -> Table:
    """An empty table with a title, in the one look that all tables have."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # a Text: brackets in a user's names are no markup
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def new_console(file: TextIO | None) -> Console:
    """Where tables go: standard output unless told, at most half a screen wide."""
    from rich.console import Console

    console = Console(file=file)
    # rich takes 80 columns for what is no terminal and no wide one should stretch a table of ten words
    return Console(file=file, width=_WIDTH if not console.is_terminal else min(console.width, _WIDTH))
