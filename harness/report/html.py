"""The pages: one of a cell, one of a sweep. Each is one file that opens offline, and prints well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from harness.report import style
from harness.report.page import data, page, search, slider, table
from harness.report.provenance import provenance_lines
from harness.results.cells import Cell
from harness.results.lookup import Lookup
from harness.results.schema import TERMS, Row

_CANDIDATES = "candidates"


def _verdict(verdict: str | None, status: str | None) -> str:
    colour = style.VERDICT_COLOURS["fail"] if status not in (None, "ok") else None
    colour = colour or style.VERDICT_COLOURS.get(verdict or "", "#555")
    text = escape(style.headline(verdict, status))
    return f'<p class="verdict" style="color: {colour}">{text}</p>'


def _items(reasons: Sequence[Any]) -> str:
    return "<ul>" + "".join(f"<li>{escape(str(each))}</li>" for each in reasons) + "</ul>" if reasons else ""


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
    errors_svg: str | None = None,
    errors_told: str = "",
    lookup: Lookup | None = None,
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
        figure_svg: the figure of the cuts as an SVG document.
        errors_svg: that of the errors; errors_told: the same in words.
        lookup: predictions over other links, for the sliders.
        status: that of `status.json`.
        error: its error text.
    """
    return page(
        title,
        [
            _verdict(summary.get("verdict"), status),
            f"<h1>{escape(title)}</h1>",
            f'<p class="sentence">{escape(str(summary.get("sentence") or ""))}</p>',
            _items([error] if error else []),
            _items(summary.get("reasons") or []),
            _items(provenance_lines(summary)),
            _link(summary.get("link")),
            _figure(figure_svg, "Latency of every cut, predicted and measured; the table below has its numbers."),
            "<h2>How good is the prediction</h2>",
            _figure(errors_svg, errors_told),
            _statistics(summary),
            "<h2>Candidates</h2>",
            _sliders(lookup, summary),
            search(_CANDIDATES),
            _candidates(rows, summary, lookup),
            "<h2>Run it again</h2>",
            f"<pre>{escape(command)}</pre>",
            "<h2>Environment</h2>",
            _flat(environment),
            data("lookup", lookup.record()) if lookup else "",
        ],
        script=True,
    )


def _figure(svg: str | None, told: str) -> str:
    if not svg:
        return ""
    drawn = inline_svg(svg).replace("<svg ", f'<svg role="img" aria-label="{escape(told)}" ', 1)
    return f"<figure>{drawn}<figcaption>{escape(told)}</figcaption></figure>"


def _sliders(lookup: Lookup | None, summary: Mapping[str, Any]) -> str:
    """Two ranges that turn the table to another link; at first that of the cell."""
    if lookup is None:
        return ""
    requested = (summary.get("link") or {}).get("requested") or {}
    rate, rtt = requested.get("rate_up_mbps"), requested.get("rtt_ms")
    return (
        '<div class="controls needs-script" role="group" aria-label="Predictions for another link">'
        + slider("bandwidth", "Uplink", len(lookup.bandwidth_mbps), _place(lookup.bandwidth_mbps, rate))
        + slider("rtt", "Round trip", len(lookup.rtt_ms), _place(lookup.rtt_ms, rtt))
        + '<p>Best there, as predicted: <output id="slider-best" aria-live="polite"></output></p></div>'
    )


def _place(axis: Sequence[float], own: Any) -> int:
    return min(range(len(axis)), key=lambda place: abs(axis[place] - own)) if isinstance(own, int | float) else 0


def _link(link: Any) -> str:
    if not isinstance(link, Mapping):
        return ""
    requested, achieved = (link.get(name) for name in ("requested", "achieved"))
    requested = requested if isinstance(requested, Mapping) else {}
    achieved = achieved if isinstance(achieved, Mapping) else {}
    lines: list[tuple[Mapping[str, str], list[str]]] = [
        ({}, [escape(str(name)), _value(requested.get(name)), _value(achieved.get(name))])
        for name in dict.fromkeys([*requested, *achieved])
    ]
    backend = f"<p>Shaped by: {escape(str(link['backend']))}</p>" if link.get("backend") else ""
    return "<h2>Link</h2>" + table(("", "requested", "achieved"), lines) + backend if lines else ""


def _value(value: Any) -> str:
    if value is None:
        return style.NOTHING
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _statistics(summary: Mapping[str, Any]) -> str:
    percents = {
        "mape": "MAPE",
        "mape_splits": "MAPE of the splits that no anchor shares",
        "p95_abs_error": "95th percentile of |error|",
        "bias": "bias",
        "forecast_mape": "MAPE of the forecast",
        "forecast_p95_abs_error": "95th percentile of |error| of the forecast",
        "paper_mape": "MAPE of the paper's predictor",
        "paper_eager_mape": "the same on eager block times, as published",
        "regret": "regret among the splits",
        "regret_all": "regret with the baselines",
        "noise_floor": "noise floor",
        "drift": "drift",
        "max_other_share": "largest share that no term explains",
    }
    lines: list[tuple[Mapping[str, str], list[str]]] = [
        ({}, [escape(label), style.percent(summary.get(key))]) for key, label in percents.items()
    ]
    for key, label in (
        ("kendall_tau", "Kendall's tau-b"),
        ("kendall_tau_aa", "tau of odd against even samples"),
    ):
        lines.append(({}, [escape(label), _value(summary.get(key))]))
    for key, label in (
        ("speedup_vs_scission", "speed-up over Scission"),
        ("speedup_vs_device_only", "speed-up over device-only"),
        ("speedup_vs_edge_only", "speed-up over edge-only"),
    ):
        pair = summary.get(key) or {}
        shown = f"{style.factor(pair.get('measured'))} (predicted {style.factor(pair.get('predicted'))})"
        lines.append(({}, [label, shown]))
    return table(("statistic", "value"), lines)


def _candidates(rows: Sequence[Row], summary: Mapping[str, Any], lookup: Lookup | None) -> str:
    """Baselines first, then the splits in their order; the terms are the measured ones, or the predicted."""
    header = ["candidate", "layer", "payload (kB)", "forecast", "predicted", "paper", "measured", "error"]
    header += [style.TERM_LABELS[term] for term in TERMS]
    looked_up = 5 if lookup else -1  # beside what was predicted for the cell's own link
    if lookup:
        header.insert(looked_up, "at the sliders")
    best = summary.get("best_measured") or summary.get("best_predicted")
    ordered = sorted(rows, key=lambda row: (row.key.split is not None, row.key))
    lines = []
    for row in ordered:
        cells = _candidate(row)
        if lookup:
            cells.insert(looked_up, "")
        kind = "best" if str(row.key) == best else "" if row.feasible else "impossible"
        own = {"class": kind, "data-key": str(row.key), "data-feasible": str(row.feasible).lower()}
        lines.append((own, cells))
    return table(
        header,
        lines,
        text_columns=2,
        identity=_CANDIDATES,
        caption="Times in ms; measured: the median of a candidate's requests, its 95 % interval in brackets.",
        classes={looked_up: "looked-up needs-script"} if lookup else None,
    )


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
    def walk(value: Any, path: str) -> Iterable[tuple[Mapping[str, str], list[str]]]:
        if isinstance(value, Mapping) and value:
            for key, each in value.items():
                yield from walk(each, f"{path}.{key}" if path else str(key))
        else:
            yield {}, [escape(path), _value(value)]

    return table(("", ""), list(walk(record, "")), text_columns=2)


def sweep_page(cells: Sequence[Cell], summary: Mapping[str, Any], *, title: str) -> str:
    """`report.html` of a sweep, as text: the overall verdict, then a line for each cell with a link."""
    broken = sum(cell.status != "ok" for cell in cells)
    status = f"failed: {broken} of {len(cells)}" if broken or not cells else "ok"
    header = ("cell", "outcome", "best measured", "Mbit/s", "RTT (ms)", "MAPE", "forecast MAPE", "regret")
    return page(
        title,
        [
            _verdict(summary.get("verdict"), status if cells else "missing: the sweep has none"),
            f"<h1>{escape(title)}</h1>",
            search("cells"),
            table(header, [({}, _cell_line(cell)) for cell in cells], text_columns=3, identity="cells"),
        ],
        script=True,
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
    again = [f"attempt {cell.attempts}"] if cell.attempts > 1 else []
    outcome += "".join(f"<br><small>{escape(each)}</small>" for each in again + reasons)
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
