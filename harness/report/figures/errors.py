"""Where the predictions err, over many cells: term by term (waterfall), and how the errors are distributed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.report import sheets, style
from harness.report.figures import canvas
from harness.results.cells import Cell
from harness.results.schema import TERMS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

TERM_COLUMNS = ("tiers", "candidates", "term", "error_ms", "error_low_ms", "error_high_ms")
ERROR_COLUMNS = (
    *("tiers", "model", "hardware", "bandwidth_mbps", "rtt_ms", "candidate", "split", "transfer_layer", "wire_format"),
    *("measured_ms", "prediction_error", "forecast_error", "equations_error"),
)
#: A replayed tier takes as long as it is told: its errors are those of link and server alone.
GROUPS = {False: "both tiers computed", True: "a tier or both replayed"}
_COLOURS = {"prediction": "#0b5cad", "forecast": "#e08e45", "equations": "#cc3311"}
_LABELS = {"prediction": "prediction", "forecast": "forecast", "equations": "Eqs. 1 to 6"}
_DASHES = {False: "-", True: ":"}
#: Errors beyond these are counted at the edge of the panel: a few of them would squeeze the rest.
_EDGE_PERCENT, _LARGEST_PERCENT = 15.0, 25.0


@dataclass(frozen=True)
class _Measured:
    cell: Cell
    row: Row

    @property
    def replayed(self) -> bool:
        return bool(self.row.replayed)


def _measured(cells: Sequence[Cell]) -> list[_Measured]:
    return [_Measured(cell, row) for cell in cells for row in cell.rows if row.measured_ms and row.predicted_ms]


# -- by term --------------------------------------------------------------------------------------------


def by_term(cells: Sequence[Cell]) -> canvas.Drawing:
    """The mean over candidates of predicted - measured, from term to term; a panel for each kind of tiers.

    Whiskers are the 95 % interval of the mean over candidates. A term that a candidate lacks counts 0.
    """
    groups = _groups(_measured(cells))
    figure = sheets.sheet(6.0 * max(1, len(groups)), 4.4)
    records: list[dict[str, Any]] = []
    plots = figure.subplots(1, max(1, len(groups)), squeeze=False)[0]
    for axes, (replayed, own) in zip(plots, groups.items(), strict=False):
        axes.set_title(f"{GROUPS[replayed]}: {len(own)} candidates", loc="left", fontweight="bold")
        steps = _steps([each.row for each in own])
        _waterfall(axes, steps, {term for each in own for term in each.row.replayed})
        for term, errors in steps.items():
            mean, half = float(np.mean(errors)), _half(errors)
            records.append(
                {"tiers": GROUPS[replayed], "candidates": len(own), "term": term, "error_ms": mean}
                | {"error_low_ms": mean - half, "error_high_ms": mean + half}
            )
    if not groups:
        canvas.empty(plots[0], "nothing was both predicted and measured")
    figure.suptitle("Where the prediction errs: each term's share of the error", x=0.01, ha="left", fontweight="bold")
    return canvas.Drawing(figure, TERM_COLUMNS, records)


def _groups(measured: Sequence[_Measured]) -> dict[bool, list[_Measured]]:
    groups = {replayed: [each for each in measured if each.replayed == replayed] for replayed in GROUPS}
    return {replayed: own for replayed, own in groups.items() if own}


def _steps(rows: Sequence[Row]) -> dict[str, Array]:
    """By term, then `other` and `total`, the error of each row, ms."""
    steps = {
        term: np.array(
            [
                row.predicted_terms[term] - row.measured_terms[term]
                if term in row.predicted_terms and term in row.measured_terms
                else 0.0
                for row in rows
            ]
        )
        for term in TERMS
    }
    total = np.array([(row.predicted_ms or 0.0) - (row.measured_ms or 0.0) for row in rows])
    return {**steps, "other": total - np.sum(list(steps.values()), axis=0), "total": total}


def _half(errors: Array) -> float:
    return 1.96 * float(np.std(errors, ddof=1)) / len(errors) ** 0.5 if len(errors) > 1 else 0.0


def _waterfall(axes: Axes, steps: Mapping[str, Array], dictated: Collection[str]) -> None:
    """One bar a term, hatched where a recording dictated it."""
    start = 0.0
    for place, (term, errors) in enumerate(steps.items()):
        mean, whole = float(np.mean(errors)), term == "total"
        bottom = 0.0 if whole else start
        colour = "#1d2129" if whole else style.TERM_COLOURS.get(term, "#9aa2ae")
        axes.bar(
            place, mean, 0.8, bottom=bottom, color=colour, edgecolor="#4b5563", lw=0.5,
            hatch=canvas.hatch(replayed=term in dictated, estimated=False),
        )  # fmt: skip
        axes.errorbar(place, bottom + mean, yerr=_half(errors), fmt="none", ecolor="#4b5563", elinewidth=0.9, capsize=2)
        top = bottom + max(mean, 0.0) + _half(errors)
        axes.annotate(f"{mean:+.2f}", (place, top), ha="center", va="bottom", fontsize=7)
        start += 0.0 if whole else mean
    labels = [style.TERM_LABELS.get(term, term) for term in steps]
    axes.axhline(0, color="#6b7280", lw=0.8)
    axes.set_xticks(range(len(labels)), labels, rotation=50, ha="right", fontsize=8)
    axes.set_ylabel("mean of predicted - measured (ms)")
    axes.margins(y=0.15)
    if dictated:
        axes.legend(handles=canvas.provenance(replayed=True, estimated=False), frameon=False, fontsize=8)
    canvas.plain(axes)


# -- distribution ---------------------------------------------------------------------------------------


def distribution(cells: Sequence[Cell]) -> canvas.Drawing:
    """Every measured candidate's error: the prediction's as a histogram, and for all three the share within x %."""
    measured = _measured(cells)
    figure = sheets.sheet(11.5, 4.4)
    left, right = figure.subplots(1, 2)
    groups = _groups(measured)
    if groups:
        _histogram(left, groups)
        _cumulative(right, groups)
    else:
        canvas.empty(left, "nothing was both predicted and measured")
        canvas.empty(right, "")
    figure.suptitle(
        f"Prediction errors of {len(measured)} candidates in {len({id(each.cell) for each in measured})} cells",
        x=0.01,
        ha="left",
        fontweight="bold",
    )
    return canvas.Drawing(figure, ERROR_COLUMNS, [_record(each) for each in measured])


def _errors(row: Row) -> dict[str, float | None]:
    """(predicted - measured) / measured; Eqs. 1 to 6 where the authors' tool has an answer."""
    measured = row.measured_ms or 1.0
    values = {
        "prediction": row.predicted_ms,
        "forecast": row.forecast_ms,
        "equations": row.paper_ms if row.scission_cut is not False else None,
    }
    return {name: None if ms is None else ms / measured - 1 for name, ms in values.items()}


def _record(each: _Measured) -> dict[str, Any]:
    own = {f"{name}_error": error for name, error in _errors(each.row).items()}
    return each.row.record() | canvas.identity(each.cell) | own | {"tiers": GROUPS[each.replayed]}


def _histogram(axes: Axes, groups: Mapping[bool, Sequence[_Measured]]) -> None:
    largest = max(100 * abs(_errors(each.row)["prediction"] or 0.0) for own in groups.values() for each in own)
    edge = min(_EDGE_PERCENT, max(2.0, 1.1 * largest))
    edges = np.linspace(-edge, edge, 61)
    for replayed, own in groups.items():
        errors = np.array([100 * (_errors(each.row)["prediction"] or 0.0) for each in own])
        axes.hist(
            np.clip(errors, edges[0], edges[-1]),
            bins=edges.tolist(),
            weights=np.full(len(errors), 100 / len(errors)),
            histtype="stepfilled" if not replayed else "step",
            color=_COLOURS["prediction"],
            alpha=0.35 if not replayed else 1.0,
            ls=_DASHES[replayed],
            lw=1.3,
            label=f"{GROUPS[replayed]}: {len(own)}, MAPE {np.mean(np.abs(errors)):.1f} %, "
            f"bias {np.mean(errors):+.1f} %",
        )
    axes.axvline(0, color="#6b7280", lw=0.8)
    axes.set_xlabel("error of the prediction (%), larger ones at the edge")
    axes.set_ylabel("share of candidates (%)")
    axes.margins(y=0.25)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    canvas.plain(axes)


def _cumulative(axes: Axes, groups: Mapping[bool, Sequence[_Measured]]) -> None:
    largest = 2.0
    for name, label in _LABELS.items():
        for replayed, own in groups.items():
            errors = sorted(100 * abs(error) for each in own if (error := _errors(each.row)[name]) is not None)
            if errors:
                largest = max(largest, errors[-1])
                share = 100 * np.arange(1, len(errors) + 1) / len(errors)
                text = f"{label}, {'replayed' if replayed else 'computed'}"
                axes.step(errors, share, where="post", color=_COLOURS[name], ls=_DASHES[replayed], label=text)
    axes.set(
        xlabel="|error| (%)",
        ylabel="candidates with at most that (%)",
        ylim=(0, 102),
        xlim=(0, min(largest, _LARGEST_PERCENT)),
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    canvas.plain(axes, grid="both")
