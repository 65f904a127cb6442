"""The rate-distortion-latency front of what may stand in a cut: bytes, accuracy lost, and what the link costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from harness.errors import HarnessError
from harness.report import sheets
from harness.report.figures import canvas
from harness.report.figures.trained import Trained, trainings
from harness.results.cells import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    *("model", "split", "transfer_layer", "wire_format", "dataset", "seed", "payload_bytes", "drop_points"),
    *("drop_low_points", "drop_high_points", "bandwidth_mbps", "rtt_ms", "link_ms", "on_front"),
)
#: What the encodings of a panel share.
_ALIKE = ("model", "split", "dataset", "bandwidth_mbps", "rtt_ms")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_COLOURS = {"float32": "#0b5cad", "float16": "#117733", "uint8": "#cc6611"}


@dataclass(frozen=True)
class Point:
    """An encoding. `link_ms` is Eq. 4 of the paper: round trip and payload over rate."""

    transfer_layer: str
    wire_format: str
    payload_bytes: int
    drop_points: float
    link_ms: float
    record: dict[str, Any]


def draw(cells: Sequence[Cell]) -> canvas.Drawing:
    """Each encoding by its bytes and by the accuracy that it loses; a line through those that no other one beats.

    A panel for each model, cut, data set and link: across them nothing can be compared.

    Raises:
        HarnessError: no cell is a finished training of known size.
    """
    points = [point for own in trainings(cells) if (point := _point(own)) is not None]
    if not points:
        raise HarnessError("no finished training in these cells; run experiment=front")
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(point.record[name] for name in _ALIKE), []).append(point)
    layers = list(dict.fromkeys(point.transfer_layer for point in points))
    figure = sheets.sheet(8.6 * len(groups), 5.2)
    records: list[dict[str, Any]] = []
    for axes, own in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.values(), strict=True):
        best = front([(point.payload_bytes, point.drop_points) for point in own])
        _panel(axes, own, best, layers)
        records += [{**point.record, "on_front": at in best} for at, point in enumerate(own)]
    figure.legend(handles=_handles(points, layers), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return canvas.Drawing(figure, COLUMNS, records)


def _panel(axes: Axes, points: Sequence[Point], best: set[int], layers: Sequence[str]) -> None:
    """The encodings of one cut, as one data set judges them, over one link."""
    for point in points:
        spread = [[max(0.0, point.drop_points - _of(point, "low"))], [max(0.0, _of(point, "high") - point.drop_points)]]
        axes.errorbar(
            point.payload_bytes / 1e3,
            point.drop_points,
            yerr=spread,
            fmt=_MARKERS[layers.index(point.transfer_layer) % len(_MARKERS)],
            color=_COLOURS.get(point.wire_format, "#6b7280"),
            ms=8,
            elinewidth=0.9,
        )
        place = (point.payload_bytes / 1e3, point.drop_points)
        text = f"{point.link_ms:.1f} ms"
        axes.annotate(text, place, xytext=(6, 6), textcoords="offset points", fontsize=7)
    line = sorted((points[at].payload_bytes / 1e3, points[at].drop_points) for at in best)
    axes.plot(*zip(*line, strict=True), color="#1d2129", lw=1, zorder=1)
    axes.axhline(0, color="#6b7280", lw=0.8)
    axes.set_xscale("log")
    sheets.plain_numbers(axes.xaxis)
    axes.set_xlabel("payload of a request (kB)")
    axes.set_ylabel("top-1 points lost against the better\nof original and control, 95 % interval")
    first = points[0].record
    axes.set_title(
        f"{first['model']}, cut {first['split']}, {first['dataset']}: rate, distortion and link time (Eq. 4 at "
        f"{first['bandwidth_mbps']:g} Mbit/s, {first['rtt_ms']:g} ms)",
        loc="left", fontweight="bold", fontsize=9,
    )  # fmt: skip
    canvas.plain(axes, grid="both")


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Which points no other one beats: none is at most as large in both values and smaller in one (pure)."""
    return {
        at
        for at, own in enumerate(points)
        if not any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in points)
    }


def _of(point: Point, end: str) -> float:
    value = point.record[f"drop_{end}_points"]
    return point.drop_points if value is None else float(value)


def _point(own: Trained) -> Point | None:
    row, size, cell = own.row("tl_retrained"), own.payload_bytes, own.cell
    if row is None or row.drop_points is None or size is None or not cell.bandwidth_mbps or cell.rtt_ms is None:
        return None
    link_ms = cell.rtt_ms + size * 8 / (cell.bandwidth_mbps * 1e3)
    record = {name: own.record[name] for name in COLUMNS[:6]}
    record |= {"payload_bytes": size, "bandwidth_mbps": cell.bandwidth_mbps, "rtt_ms": cell.rtt_ms, "link_ms": link_ms}
    record |= {name: getattr(row, name) for name in ("drop_points", "drop_low_points", "drop_high_points")}
    return Point(str(record["transfer_layer"]), str(record["wire_format"]), size, row.drop_points, link_ms, record)


def _handles(points: Sequence[Point], layers: Sequence[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], ls="none", marker=_MARKERS[at % len(_MARKERS)], color="#6b7280", label=layer)
        for at, layer in enumerate(layers)
    ]
    formats = dict.fromkeys(point.wire_format for point in points)
    handles += [
        Line2D([], [], ls="none", marker=".", ms=12, color=_COLOURS.get(name, "#6b7280"), label=name)
        for name in formats
    ]
    return [*handles, Line2D([], [], color="#1d2129", lw=1, label="no encoding beats these")]
