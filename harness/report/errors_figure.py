"""The figure of a cell's errors: predicted against measured, where the error comes from, how it is distributed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.report import sheets, style
from harness.results.schema import TERMS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_INCHES = (12.5, 4.2)
#: What the scatter's band marks: the bar of `calibrated`.
_BAND = 0.02
_COLOURS = {"prediction": "#0b5cad", "forecast": "#e08e45", "Eqs. 1 to 6": "#cc3311"}
_MARKERS = {"split": "o", "edge-only": "s", "device-only": "D"}


def errors_figure(
    rows: Sequence[Row], title: str, folder: Path, formats: Sequence[str] = ("svg", "png"), dpi: int = 150
) -> list[Path]:
    """Draws `errors.<format>` into `folder`; returns the paths, none where nothing was both predicted and measured.

    Left: each measured candidate, with the 95 % interval of its median, and a band of 2 % about equality. Middle: the
    mean signed error of each term and what they add up to. Right: the share of candidates whose |error| is at most so
    much, for the prediction, the forecast and the paper's equations.
    """
    known = [row for row in rows if row.measured_ms and row.predicted_ms]
    if not known:
        return []
    with sheets.look("errors"):
        figure = sheets.sheet(*_SIZE_INCHES)
        left, middle, right = figure.subplots(1, 3)
        _scatter(left, known)
        _waterfall(middle, known)
        _distribution(right, known)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", parse_math=False)
        return sheets.save(figure, "errors", Path(folder), formats, dpi)


def _scatter(axes: Axes, rows: Sequence[Row]) -> None:
    measured = np.array([row.measured_ms or 0.0 for row in rows])
    predicted = np.array([row.predicted_ms or 0.0 for row in rows])
    ends = np.array([0.9 * min(measured.min(), predicted.min()), 1.1 * max(measured.max(), predicted.max())])
    axes.fill_between(ends, ends * (1 - _BAND), ends * (1 + _BAND), color="#dfe7f1", lw=0, label="within 2 %")
    axes.plot(ends, ends, color="#6b7280", lw=0.8)
    for kind, marker in _MARKERS.items():
        own = [index for index, row in enumerate(rows) if row.key.candidate == kind]
        if own:
            lows = [measured[at] - (rows[at].measured_low_ms or measured[at]) for at in own]
            highs = [(rows[at].measured_high_ms or measured[at]) - measured[at] for at in own]
            axes.errorbar(
                measured[own],
                predicted[own],
                xerr=np.maximum(0.0, np.array([lows, highs])),
                fmt=marker,
                ms=4.5,
                mec="white",
                mew=0.5,
                color=_COLOURS["prediction"],
                elinewidth=0.8,
                label=kind,
            )
    if ends[1] > 10 * ends[0]:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set(xlim=ends, ylim=ends, xlabel="measured (ms)", ylabel="predicted (ms)")
    axes.legend(frameon=False, fontsize=8)
    _plain(axes)


def _waterfall(axes: Axes, rows: Sequence[Row]) -> None:
    """Mean over the candidates of predicted - measured, term by term; a term that a candidate lacks counts 0."""
    means = {term: _mean_error(rows, term) for term in TERMS}
    total = float(np.mean([(row.predicted_ms or 0.0) - (row.measured_ms or 0.0) for row in rows]))
    steps = {**means, "other": total - sum(means.values())}
    start = 0.0
    labels = [*(style.TERM_LABELS[term] for term in TERMS), "other", "total"]
    for place, (term, step) in enumerate(steps.items()):
        axes.bar(place, step, bottom=start, color=style.TERM_COLOURS.get(term, "#9aa2ae"), edgecolor="#4b5563", lw=0.5)
        axes.annotate(f"{step:+.2f}", (place, start + max(step, 0.0)), ha="center", va="bottom", fontsize=7)
        start += step
    axes.bar(len(steps), total, color="#1d2129")
    axes.annotate(f"{total:+.2f}", (len(steps), max(total, 0.0)), ha="center", va="bottom", fontsize=7)
    axes.axhline(0, color="#6b7280", lw=0.8)
    axes.set_xticks(range(len(labels)), labels, rotation=55, ha="right", fontsize=8)
    axes.set_ylabel("mean of predicted - measured (ms)")
    axes.margins(y=0.12)
    _plain(axes)


def _mean_error(rows: Sequence[Row], term: str) -> float:
    own = [
        row.predicted_terms[term] - row.measured_terms[term]
        for row in rows
        if term in row.predicted_terms and term in row.measured_terms
    ]
    return sum(own) / len(rows)


def _distribution(axes: Axes, rows: Sequence[Row]) -> None:
    kinds: dict[str, Callable[[Row], float | None]] = {
        "prediction": lambda row: row.predicted_ms,
        "forecast": lambda row: row.forecast_ms,
        # Where the authors' tool knows no cut there is no answer of theirs to judge.
        "Eqs. 1 to 6": lambda row: row.paper_ms if row.scission_cut is not False else None,
    }
    for name, value in kinds.items():
        errors = [abs(own / row.measured_ms - 1) for row in rows if row.measured_ms and (own := value(row)) is not None]
        if errors:
            share = np.arange(1, len(errors) + 1) / len(errors)
            axes.step(100 * np.sort(errors), 100 * share, where="post", color=_COLOURS[name], label=name)
    axes.set(xlabel="|error| (%)", ylabel="candidates with at most that (%)", ylim=(0, 102))
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(color="#e3e6ea", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def describe(rows: Sequence[Row], summary: dict[str, Any]) -> str:
    """The figure in a sentence, for readers who do not see it."""
    known = [row for row in rows if row.measured_ms and row.predicted_ms]
    worst = max(known, key=lambda row: abs(row.error or 0.0), default=None)
    if worst is None:
        return "Nothing was both predicted and measured."
    largest = max(TERMS, key=lambda term: abs(_mean_error(known, term)))
    return (
        f"{len(known)} candidates; mean |error| {style.percent(summary.get('mape'))}, worst "
        f"{style.percent(worst.error, signed=True)} at {style.candidate_name(worst.key)}; the term that errs most on "
        f"average is {style.TERM_LABELS[largest]}, {_mean_error(known, largest):+.2f} ms."
    )
