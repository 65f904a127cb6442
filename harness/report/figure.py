"""The figure of a cell: what every cut costs, predicted and measured (as the paper's Figs. 5 and 6)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import sheets, style
from harness.results.schema import TERMS, Row
from harness.transfer.encoding import Encoding
from harness.validation.statistics import best_split

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What every run ranks; the cell's own encodings, where they are others, get a line each after them.
_LINES = {Encoding("none"): "Scission (none)", Encoding("maxpool"): "ScissionTL (maxpool)"}
_SIZE_INCHES = (11.0, 6.4)


def cuts_figure(
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    title: str,
    folder: Path,
    formats: Sequence[str] = ("svg", "png"),
    dpi: int = 150,
) -> list[Path]:
    """Draws `cuts.<format>` into `folder`; returns the paths in the order of `formats`.

    Bars stack the measured terms of each cut, in the encoding that most cuts were measured in; lines are `predicted_ms`
    of every cut; points are measured, with their 95 % interval. Circles mark the best prediction of all, squares the
    best from `min_split` of the summary on. What a replayed tier was told to take though nobody recorded it is hatched,
    and points that hold such a term are hollow.
    """
    with sheets.look("cuts", **{"font.size": 10}):
        figure = sheets.sheet(*_SIZE_INCHES)
        axes = figure.add_subplot()
        place = {split: index for index, split in enumerate(_splits(rows))}
        stacked = _stacked(rows)
        _bars(axes, [row for row in rows if row.key.split is not None and Encoding.of(row.key) == stacked], place)
        _baselines(axes, rows)
        for look in _looks(rows):
            own = [row for row in rows if row.key.split is not None and Encoding.of(row.key) == look.encoding]
            _prediction(axes, own, place, look)
            _best_marks(axes, own, place, look, int(summary.get("min_split") or 0))
        _frame(axes, place, rows)
        _heading(figure, axes, title, summary)
        return sheets.save(figure, "cuts", Path(folder), formats, dpi)


@dataclass(frozen=True)
class _Look:
    """How the line of one encoding is drawn."""

    encoding: Encoding
    label: str
    colour: str
    marker: str


def _looks(rows: Sequence[Row]) -> list[_Look]:
    found = [
        _Look(
            encoding,
            label,
            style.PREDICTION_COLOURS[encoding.transfer_layer],
            "D" if label.startswith("Scission ") else "o",
        )
        for encoding, label in _LINES.items()
    ]
    ranked = dict.fromkeys(Encoding.of(row.key) for row in rows if row.key.split is not None)
    others = [encoding for encoding in ranked if encoding not in _LINES]
    return found + [
        _Look(encoding, str(encoding), colour, "^")
        for encoding, colour in zip(others, itertools.cycle(style.OTHER_COLOURS), strict=False)
    ]


def _stacked(rows: Sequence[Row]) -> Encoding:
    """The encoding whose bars show where the time goes: the one that most cuts were measured in."""
    measured = Counter(
        Encoding.of(row.key) for row in rows if row.key.split is not None and row.measured_ms is not None
    )
    return max(
        measured,
        key=lambda encoding: (measured[encoding], encoding == Encoding("maxpool")),
        default=Encoding("maxpool"),
    )


def _splits(rows: Sequence[Row]) -> list[int]:
    return sorted({row.key.split for row in rows if row.key.split is not None})


def _bars(axes: Axes, rows: Sequence[Row], place: Mapping[int, int]) -> None:
    measured = [row for row in rows if row.measured_ms is not None]
    if not measured:
        return
    where = sorted(place[row.key.split or 0] for row in measured)
    nearest = min((right - left for left, right in pairwise(where)), default=len(place))
    width = min(max(0.8 * nearest, 0.8), max(0.8, len(place) / 50))
    bottom = [0.0] * len(measured)
    for term in TERMS:
        heights = [_height(row, term) for row in measured]
        if any(heights):
            bars = axes.bar(
                [place[row.key.split or 0] for row in measured],
                heights,
                width,
                bottom=bottom,
                color=style.TERM_COLOURS[term],
                label=style.BOTH_WAYS if any(_both_ways(row, term) for row in measured) else style.TERM_LABELS[term],
                zorder=1,
            )
            for bar, row in zip(bars, measured, strict=True):
                if term in row.estimated:
                    bar.set(hatch=style.ESTIMATED_HATCH, edgecolor="#444444", linewidth=0)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]


def _height(row: Row, term: str) -> float:
    return (row.network_measured_ms or 0.0) if _both_ways(row, term) else row.measured_terms.get(term, 0.0)


def _both_ways(row: Row, term: str) -> bool:
    """Whether nobody could tell the ways over the link apart: then both stand in the place of the uplink."""
    unseen = row.measured_terms.keys().isdisjoint(("uplink", "downlink"))
    return term == "uplink" and unseen and row.network_measured_ms is not None


def _prediction(axes: Axes, rows: Sequence[Row], place: Mapping[int, int], look: _Look) -> None:
    """The line of one encoding over all cuts that it can be put into, and its measured points."""
    colour = look.colour
    line = sorted(rows, key=lambda row: row.key)
    known = [(place[row.key.split or 0], row.predicted_ms) for row in line if row.predicted_ms is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=colour, lw=1.4, label=f"{look.label}, predicted", zorder=3)
    points = [row for row in line if row.measured_ms is not None]
    if points:
        middle = [row.measured_ms or 0.0 for row in points]
        estimated = any(row.estimated for row in points)
        lows = [each - (row.measured_low_ms or each) for row, each in zip(points, middle, strict=True)]
        highs = [(row.measured_high_ms or each) - each for row, each in zip(points, middle, strict=True)]
        axes.errorbar(
            [place[row.key.split or 0] for row in points],
            middle,
            yerr=[[max(low, 0.0) for low in lows], [max(high, 0.0) for high in highs]],
            fmt=look.marker,
            ms=4.5,
            mfc="white" if estimated else colour,
            mec=colour if estimated else "white",
            mew=1.2 if estimated else 0.6,
            ecolor=colour,
            elinewidth=1,
            label=f"{look.label}, measured{', partly estimated' if estimated else ''}",
            zorder=4,
        )


def _best_marks(axes: Axes, own: Sequence[Row], place: Mapping[int, int], look: _Look, min_split: int) -> None:
    """The paper's marks: a circle for the best of all, a square for the best from `min_split` on."""
    name = look.label.partition(" (")[0]
    value: Callable[[Row], float | None] = lambda row: row.predicted_ms  # noqa: E731
    for least, marker, words in ((0, "o", "best"), (min_split, "s", f"best from cut {min_split} on")):
        found = best_split(own, value, least)
        if found is None or found.predicted_ms is None or found.key.split is None:
            continue
        axes.plot(
            place[found.key.split],
            found.predicted_ms,
            marker,
            ms=14 if marker == "s" else 11,
            mfc="none",
            mec=look.colour,
            mew=2,
            ls="none",
            label=f"{name}, {words}: {found.key.split}",
            zorder=5,
        )


def _baselines(axes: Axes, rows: Sequence[Row]) -> None:
    dashes = {"device-only": "-", "float32": "--", "uint8": "-.", "jpeg": ":"}
    for row in rows:
        value = row.measured_ms if row.measured_ms is not None else row.predicted_ms
        if row.key.split is not None or value is None:
            continue
        kind = "measured" if row.measured_ms is not None else "predicted"
        axes.axhline(
            value,
            color=style.BASELINE_COLOURS[row.key.candidate],
            ls=dashes.get(row.key.wire_format if row.key.candidate == "edge-only" else row.key.candidate, "--"),
            lw=1.2,
            label=f"{style.candidate_name(row.key)}, {kind}",
            zorder=2,
        )


def _frame(axes: Axes, place: Mapping[int, int], rows: Sequence[Row]) -> None:
    """Ticks at measured cuts where there is room, at evenly spaced ones in between."""
    measured = {row.key.split for row in rows if row.measured_ms is not None}
    room = max(1, len(place) // 26)
    ticks: list[int] = []
    for wanted in (measured, set(place)):
        for split, index in place.items():
            apart = room if wanted is measured else 2 * room
            if split in wanted and all(abs(index - other) >= apart for other in ticks):
                ticks.append(index)
    names = {index: str(split) for split, index in place.items()}
    ticks.sort()
    axes.set_xticks(ticks, [names[tick] for tick in ticks], rotation=60, fontsize=8)
    axes.set_xlim(-1, max(len(place), 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("cut: Keras index of the last device layer")
    axes.set_ylabel("latency of one request (ms)")
    axes.grid(axis="y", color="#e3e6ea", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _heading(figure: Figure, axes: Axes, title: str, summary: Mapping[str, Any]) -> None:
    from matplotlib.patches import Patch

    accuracy = summary.get("mape")
    told = f"\nmean |error| of the prediction {style.percent(accuracy)}" if accuracy is not None else ""
    axes.set_title(title + told, loc="left", fontweight="bold", fontsize=10, parse_math=False)
    handles, labels = axes.get_legend_handles_labels()
    if any(patch.get_hatch() for patch in axes.patches):
        handles.append(Patch(facecolor="white", edgecolor="#444444", hatch=style.ESTIMATED_HATCH))
        labels.append("estimated, not recorded")
    terms = list(style.TERM_LABELS.values())
    # lines and marks in the order drawn, then the stack from its top down
    order = sorted(range(len(labels)), key=lambda at: -terms.index(labels[at]) if labels[at] in terms else -99)
    if handles:
        figure.legend(
            [handles[at] for at in order],
            [labels[at] for at in order],
            loc="outside right upper",
            frameon=False,
            fontsize=8.5,
            markerscale=0.65,
        )
