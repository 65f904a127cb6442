"""A model slice by slice (the paper's Figs. 5, 6 and 9): Scission, ScissionTL, and what the Offloader took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.report import sheets, style
from harness.report.figures import canvas
from harness.results.cells import Cell
from harness.results.schema import TERMS, Row
from harness.validation.statistics import best_split

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {"none": "Scission (no transfer layer)", "maxpool": "ScissionTL (maxpool)"}
#: Where the user's constraint is not in the summary: the paper's.
_MIN_SPLIT = 5
_PANEL_INCHES = (5.6, 3.3)
_PER_CUT_INCHES = 0.18
COLUMNS = (
    *("model", "hardware", "bandwidth_mbps", "rtt_ms", "split", "transfer_layer", "payload_bytes"),
    *("predicted_ms", "paper_ms", "measured_ms", "measured_low_ms", "measured_high_ms", "samples", "error", "mark"),
    *(f"{term}_measured_ms" for term in TERMS),
    *("replayed", "estimated"),
)


@dataclass(frozen=True)
class Panel:
    """One sub-figure: its title, and the attributes of its cell."""

    title: str
    wanted: Mapping[str, object]


def draw(cells: Sequence[Cell], panels: Sequence[Panel], title: str) -> canvas.Drawing:
    """A panel for each configuration.

    Bars stack the medians of the measured terms with the transfer layer; lines are predictions of every cut; points are
    measured totals with their 95 % interval, hollow where a term in them is estimated. Circles mark the best predicted
    cut, squares the best from the minimum split on.
    """
    found = [canvas.find(cells, **panel.wanted) for panel in panels]
    cuts = max((len(_cuts(cell.rows)) for cell in found if cell is not None), default=1)
    width = max(_PANEL_INCHES[0], _PER_CUT_INCHES * cuts)
    lines = -(-len(panels) // 2)
    figure = sheets.sheet(2 * width, _PANEL_INCHES[1] * lines + 1.3)
    plots = figure.subplots(lines, min(2, len(panels)), squeeze=False).ravel()
    records: list[dict[str, Any]] = []
    for axes, panel, cell in zip(plots, panels, found, strict=False):
        axes.set_title(panel.title, loc="left", fontweight="bold")
        why = canvas.left_out(cell)
        if cell is None or why is not None:
            canvas.empty(axes, why or "not run")
            continue
        marks = _panel(axes, cell)
        records += [_record(cell, row, marks) for row in cell.rows if row.key.split is not None]
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    for axes in plots[-2:]:
        axes.set_xlabel("cut: Keras index of the last device layer")
    _legend(figure, [row for cell in found if cell is not None for row in cell.rows])
    return canvas.Drawing(figure, COLUMNS, records)


def _cuts(rows: Sequence[Row]) -> list[int]:
    return sorted({row.key.split for row in rows if row.key.split is not None})


def _panel(axes: Axes, cell: Cell) -> dict[str, str]:
    """Draw one configuration; by candidate key, how it is marked."""
    place = {split: at for at, split in enumerate(_cuts(cell.rows))}
    by_layer = {layer: _own(cell.rows, layer) for layer in _LABELS}
    _bars(axes, by_layer["maxpool"], place)
    marks: dict[str, str] = {}
    for layer, rows in by_layer.items():
        colour = style.PREDICTION_COLOURS[layer]
        known = [(place[row.key.split or 0], row.predicted_ms) for row in rows if row.predicted_ms is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, lw=1.3, zorder=3)
        theirs = [(place[row.key.split or 0], row.paper_ms) for row in rows if row.paper_ms is not None]
        if theirs:
            axes.plot(*zip(*theirs, strict=True), color=colour, lw=0.9, ls=":", zorder=3)
        _points(axes, rows, place, layer)
        marks |= _marks(axes, rows, place, colour, _min_split(cell))
    axes.set_xticks(list(place.values()), [str(split) for split in place], rotation=90, fontsize=7)
    axes.set_xlim(-0.7, len(place) - 0.3)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("latency of a request (ms)")
    canvas.plain(axes)
    return marks


def _min_split(cell: Cell) -> int:
    """0, no constraint, is a minimum too; the paper's where nobody said."""
    given = cell.summary.get("min_split")
    return _MIN_SPLIT if given is None else int(given)


def _own(rows: Sequence[Row], layer: str) -> list[Row]:
    own = (row for row in rows if row.key.transfer_layer == layer and row.key.wire_format == "float32")
    return sorted((row for row in own if row.key.split is not None), key=lambda row: row.key)


def _bars(axes: Axes, rows: Sequence[Row], place: Mapping[int, int]) -> None:
    measured = [row for row in rows if row.measured_ms is not None]
    bottom = [0.0] * len(measured)
    for term in TERMS:
        heights = [row.measured_terms.get(term, 0.0) for row in measured]
        bars = axes.bar(
            [place[row.key.split or 0] for row in measured],
            heights,
            0.82,
            bottom=bottom,
            color=style.TERM_COLOURS[term],
            zorder=1,
        )
        for bar, row in zip(bars, measured, strict=True):
            own = canvas.hatch(replayed=term in row.replayed, estimated=term in row.estimated)
            bar.set(hatch=own, edgecolor=style.TERM_COLOURS[term] if not own else "#5b6470", linewidth=0)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]


def _points(axes: Axes, rows: Sequence[Row], place: Mapping[int, int], layer: str) -> None:
    points = [row for row in rows if row.measured_ms is not None]
    if not points:
        return
    colour, middle = style.PREDICTION_COLOURS[layer], [row.measured_ms or 0.0 for row in points]
    estimated = any(row.estimated for row in points)
    lows = [max(0.0, each - (row.measured_low_ms or each)) for row, each in zip(points, middle, strict=True)]
    highs = [max(0.0, (row.measured_high_ms or each) - each) for row, each in zip(points, middle, strict=True)]
    axes.errorbar(
        [place[row.key.split or 0] for row in points],
        middle,
        yerr=[lows, highs],
        fmt="D" if layer == "none" else "o",
        ms=3.6,
        mfc="white" if estimated else colour,
        mec=colour if estimated else "white",
        mew=1.0 if estimated else 0.5,
        ecolor=colour,
        elinewidth=0.9,
        zorder=4,
    )


def _marks(axes: Axes, rows: Sequence[Row], place: Mapping[int, int], colour: str, min_split: int) -> dict[str, str]:
    """The paper's marks of the best predicted cut: a circle of all, a square from `min_split` on."""
    marks: dict[str, str] = {}
    for least, marker, size, words in ((0, "o", 11, "best"), (min_split, "s", 13, f"best from {min_split}")):
        found = best_split(rows, lambda row: row.predicted_ms, least)
        if found is None or found.predicted_ms is None:
            continue
        where = place[found.key.split or 0]
        axes.plot(where, found.predicted_ms, marker, ms=size, mfc="none", mec=colour, mew=1.8, zorder=5)
        # the square's number above it, the circle's beside it: both marks may stand on one cut
        offset, anchor = ((0, 10), ("center", "bottom")) if marker == "s" else ((9, 0), ("left", "center"))
        axes.annotate(
            str(found.key.split),
            (where, found.predicted_ms),
            xytext=offset,
            textcoords="offset points",
            ha=anchor[0],
            va=anchor[1],
            fontsize=7.5,
            fontweight="bold",
            color=colour,
            zorder=6,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8},
        )
        marks[str(found.key)] = "; ".join(filter(None, (marks.get(str(found.key)), words)))
    return marks


def _record(cell: Cell, row: Row, marks: Mapping[str, str]) -> dict[str, Any]:
    return row.record() | canvas.identity(cell) | {"mark": marks.get(str(row.key), "")}


def _legend(figure: Any, rows: Sequence[Row]) -> None:
    """Lines and marks first, then the stack from its top down, then what the hatches mean."""
    handles: list[Any] = []
    for layer, label in _LABELS.items():
        colour = style.PREDICTION_COLOURS[layer]
        measured = [row for row in rows if row.key.transfer_layer == layer and row.measured_ms and row.key.split]
        handles.append(Line2D([], [], color=colour, lw=1.4, label=f"{label}, predicted"))
        if measured:
            hollow = any(row.estimated for row in measured)
            handles.append(
                Line2D(
                    *([], []),
                    ls="none",
                    marker="D" if layer == "none" else "o",
                    mec=colour,
                    mfc="white" if hollow else colour,
                    label=f"{label}, measured{' (partly estimated)' if hollow else ''}",
                )
            )
    if any(row.paper_ms is not None and row.key.split is not None for row in rows):
        handles.append(Line2D([], [], color="#333333", lw=0.9, ls=":", label="the same by Eqs. 1 to 6"))
    handles.append(Line2D([], [], ls="none", marker="o", ms=10, mfc="none", mec="#333333", label="best predicted cut"))
    handles.append(
        Line2D([], [], ls="none", marker="s", ms=10, mfc="none", mec="#333333", label="best from the minimum split on")
    )
    bars = [row for row in rows if row.measured_ms is not None and row.key.transfer_layer == "maxpool"]
    used = [term for term in TERMS if any(row.measured_terms.get(term) for row in bars)]
    handles += [
        Patch(facecolor=style.TERM_COLOURS[term], label=f"measured: {style.TERM_LABELS[term]}")
        for term in reversed(used)
    ]
    handles += canvas.provenance(
        replayed=any(row.replayed for row in bars), estimated=any(row.estimated for row in bars)
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
