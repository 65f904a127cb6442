"""The pages: one of a cell, one of a sweep. Each is one file without scripts, and prints well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from harness.report import style
from harness.report.provenance import provenance_lines
from harness.results.cells import Cell
from harness.results.schema import TERMS, Row

_CSS = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2129; max-width: 72rem; margin: 1.5rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.15rem; font-weight: 600; margin: 1rem 0 .2rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
.verdict { font-size: 1.5rem; font-weight: 700; margin: 0; padding: .4rem .8rem; border-left: .5rem solid; }
.sentence { font-size: 1.05rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #dde1e7; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #9aa2ae; }
td.n, th.n { text-align: right; white-space: nowrap; }
tr.best td { background: #eaf2fb; font-weight: 600; }
pre { background: #f4f5f7; padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 0; } figure svg { width: 100%; height: auto; }
@media print { body { max-width: none; margin: 0; font-size: 10pt; } .scroll { overflow: visible; }
  table { font-size: 7.5pt; } tr, figure { break-inside: avoid; } thead { display: table-header-group; } }
"""


def _page(title: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _verdict(verdict: str | None, status: str | None) -> str:
    colour = style.VERDICT_COLOURS["fail"] if status not in (None, "ok") else None
    colour = colour or style.VERDICT_COLOURS.get(verdict or "", "#555")
    text = escape(style.headline(verdict, status))
    return f'<p class="verdict" style="color: {colour}">{text}</p>'


def _items(reasons: Sequence[Any]) -> str:
    return "<ul>" + "".join(f"<li>{escape(str(each))}</li>" for each in reasons) + "</ul>" if reasons else ""


def _table(header: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]], text_columns: int = 1) -> str:
    """A table; `lines` are (class of the row, cells already escaped), numbers from `text_columns` on."""

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if index >= text_columns else ''}>{value}</{tag}>" for index, value in enumerate(values)
        )

    body = "\n".join(f'<tr class="{kind}">{cells("td", values)}</tr>' for kind, values in lines)
    head = cells("th", [escape(name) for name in header])
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def inline_svg(svg: str) -> str:
    """An SVG document as an element of a page: without its XML declaration and document type."""
    return re.sub(r"^\s*(<\?xml.*?\?>|<!DOCTYPE.*?>|\s)*", "", svg, flags=re.DOTALL)


def cell_page(
    *,
    title: str,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    environment: Mapping[str, Any],
    command: str,
    figure_svg: str | None = None,
    status: str | None = "ok",
    error: str = "",
) -> str:
    """`report.html` of a cell, as text.

    Args:
        title: what was run, in words: model, hardware, link.
        rows: the candidates.
        summary: the record of `summary.json`: `verdict`, `reasons`, `sentence`, `link`, the statistics.
        environment: the record of `env.json`.
        command: the exact command that runs this cell again.
        figure_svg: the figure as an SVG document.
        status: that of `status.json`.
        error: its error text.
    """
    figure = f"<figure>{inline_svg(figure_svg)}</figure>" if figure_svg else ""
    return _page(
        title,
        [
            _verdict(summary.get("verdict"), status),
            f"<h1>{escape(title)}</h1>",
            f'<p class="sentence">{escape(str(summary.get("sentence") or ""))}</p>',
            _items([error] if error else []),
            _items(summary.get("reasons") or []),
            _items(provenance_lines(summary)),
            _link(summary.get("link")),
            figure,
            "<h2>How good is the prediction</h2>",
            _statistics(summary),
            "<h2>Candidates</h2>",
            "<p>All times in ms; the median of a candidate's requests, its 95 % interval in brackets.</p>",
            _candidates(rows, summary),
            "<h2>Run it again</h2>",
            f"<pre>{escape(command)}</pre>",
            "<h2>Environment</h2>",
            _flat(environment),
        ],
    )


def _link(link: Any) -> str:
    if not isinstance(link, Mapping):
        return ""
    requested, achieved = (link.get(name) for name in ("requested", "achieved"))
    requested = requested if isinstance(requested, Mapping) else {}
    achieved = achieved if isinstance(achieved, Mapping) else {}
    lines = [
        ("", [escape(str(name)), _value(requested.get(name)), _value(achieved.get(name))])
        for name in dict.fromkeys([*requested, *achieved])
    ]
    backend = f"<p>Shaped by: {escape(str(link['backend']))}</p>" if link.get("backend") else ""
    return "<h2>Link</h2>" + _table(("", "requested", "achieved"), lines) + backend if lines else ""


def _value(value: Any) -> str:
    if value is None:
        return style.NOTHING
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _statistics(summary: Mapping[str, Any]) -> str:
    percents = {
        "mape": "MAPE",
        "p95_abs_error": "95th percentile of |error|",
        "bias": "bias",
        "forecast_mape": "MAPE of the forecast",
        "forecast_p95_abs_error": "95th percentile of |error| of the forecast",
        "paper_mape": "MAPE of the paper's predictor",
        "regret": "regret among the splits",
        "regret_all": "regret with the baselines",
        "noise_floor": "noise floor",
        "drift": "drift",
        "max_other_share": "largest share that no term explains",
    }
    lines = [("", [escape(label), style.percent(summary.get(key))]) for key, label in percents.items()]
    for key, label in (
        ("kendall_tau", "Kendall's tau-b"),
        ("kendall_tau_aa", "tau of odd against even samples"),
    ):
        lines.append(("", [escape(label), _value(summary.get(key))]))
    for key, label in (
        ("speedup_vs_scission", "speed-up over Scission"),
        ("speedup_vs_device_only", "speed-up over device-only"),
        ("speedup_vs_edge_only", "speed-up over edge-only"),
    ):
        pair = summary.get(key) or {}
        shown = f"{style.factor(pair.get('measured'))} (predicted {style.factor(pair.get('predicted'))})"
        lines.append(("", [label, shown]))
    return _table(("statistic", "value"), lines)


def _candidates(rows: Sequence[Row], summary: Mapping[str, Any]) -> str:
    """Baselines first, then the splits in their order; the terms are the measured ones, or the predicted."""
    header = ["candidate", "layer", "payload (kB)", "forecast", "predicted", "paper", "measured", "error"]
    header += [style.TERM_LABELS[term] for term in TERMS]
    bests = {summary.get("best_measured") or summary.get("best_predicted")}
    ordered = sorted(rows, key=lambda row: (row.key.split is not None, row.key))
    lines = [("best" if str(row.key) in bests else "", _candidate(row)) for row in ordered]
    return _table(header, lines, text_columns=2)


def _candidate(row: Row) -> list[str]:
    name = escape(style.candidate_name(row.key))
    if not row.feasible:
        name += f"<br><small>not possible: {escape(row.infeasible_because)}</small>"
    measured = style.milliseconds(row.measured_ms)
    if row.measured_low_ms is not None and row.measured_high_ms is not None:
        measured += f" [{style.milliseconds(row.measured_low_ms)}, {style.milliseconds(row.measured_high_ms)}]"
    terms = row.measured_terms or row.predicted_terms
    return [
        name,
        escape(row.layer),
        style.payload(row.payload_bytes),
        style.milliseconds(row.forecast_ms),
        style.milliseconds(row.predicted_ms),
        style.milliseconds(row.paper_ms),
        measured,
        style.percent(row.error, signed=True),
        *(style.milliseconds(terms.get(term)) for term in TERMS),
    ]


def _flat(record: Mapping[str, Any]) -> str:
    def walk(value: Any, path: str) -> Iterable[tuple[str, list[str]]]:
        if isinstance(value, Mapping) and value:
            for key, each in value.items():
                yield from walk(each, f"{path}.{key}" if path else str(key))
        else:
            yield "", [escape(path), _value(value)]

    return _table(("", ""), list(walk(record, "")), text_columns=2)


def sweep_page(cells: Sequence[Cell], summary: Mapping[str, Any], *, title: str) -> str:
    """`report.html` of a sweep, as text: the overall verdict, then a line for each cell with a link."""
    broken = sum(cell.status != "ok" for cell in cells)
    status = f"failed: {broken} of {len(cells)}" if broken or not cells else "ok"
    header = ("cell", "outcome", "best measured", "Mbit/s", "RTT (ms)", "MAPE", "forecast MAPE", "regret")
    return _page(
        title,
        [
            _verdict(summary.get("verdict"), status if cells else "missing: the sweep has none"),
            f"<h1>{escape(title)}</h1>",
            _table(header, [("", _cell_line(cell)) for cell in cells], text_columns=3),
        ],
    )


def _cell_line(cell: Cell) -> list[str]:
    name = escape(cell.name)
    if (cell.folder / "report.html").exists():
        name = f'<a href="{quote(str(PurePosixPath(cell.name) / "report.html"))}">{name}</a>'
    label = " ".join(part for part in (cell.model, cell.hardware) if part)
    swept = ", ".join(f"{key}={value}" for key, value in cell.overrides.items())
    name += f"<br><small>{escape(label)} {escape(swept)}</small>"
    reasons = [cell.error] if cell.error else [str(each) for each in cell.summary.get("reasons") or ()]
    outcome = escape(cell.verdict or cell.status if cell.status == "ok" else cell.status)
    outcome += "".join(f"<br><small>{escape(each)}</small>" for each in reasons)
    return [
        name,
        outcome,
        escape(style.key_name(cell.summary.get("best_measured"))),
        _value(cell.bandwidth_mbps),
        _value(cell.rtt_ms),
        style.percent(cell.summary.get("mape")),
        style.percent(cell.summary.get("forecast_mape")),
        style.percent(cell.summary.get("regret")),
    ]
