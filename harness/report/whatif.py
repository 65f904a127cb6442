"""The answer to a what-if: which candidate wins where, as `whatif.csv` and as a map."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError
from harness.prediction.whatif import Axes, Winners
from harness.report import sheets, style
from harness.results.records import csv_text, write_atomic
from harness.results.schema import Key

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot
    from matplotlib.figure import Figure

#: Columns of `whatif.csv`; one row a point of the grid. `second` is the next best candidate's key.
COLUMNS = (
    "bandwidth_mbps",
    "rtt_ms",
    "slowdown",
    "candidate",
    "split",
    "transfer_layer",
    "wire_format",
    "predicted_ms",
    "second",
    "second_ms",
)
DATA = "whatif.csv"
#: Paces that get a panel of their own; more would not be read.
_PANELS = 4
#: Winners that the legend names; the rest of the map is grey.
_NAMED = 14


def records(found: Winners) -> list[dict[str, Any]]:
    """The points of the grid as `whatif.csv` has them, by `COLUMNS`."""
    bandwidth, rtt, slowdown = found.axes.points()
    best, best_ms = found.best.ravel(), found.best_ms.ravel()
    second, second_ms = found.second.ravel(), found.second_ms.ravel()
    lines = []
    for place in range(best.size):
        key = found.keys[int(best[place])]
        next_best = ("", "") if second[place] < 0 else (str(found.keys[int(second[place])]), f"{second_ms[place]:.4f}")
        values = (
            f"{bandwidth[place]:.10g}",
            f"{rtt[place]:.10g}",
            f"{slowdown[place]:.10g}",
            key.candidate,
            "" if key.split is None else key.split,
            key.transfer_layer,
            key.wire_format,
            f"{best_ms[place]:.4f}",
            *next_best,
        )
        lines.append(dict(zip(COLUMNS, values, strict=True)))
    return lines


def write_csv(found: Winners, folder: Path) -> Path:
    """`whatif.csv`, whole or not at all."""
    write_atomic(folder / DATA, csv_text(COLUMNS, records(found)))
    return folder / DATA


def read_csv(path: Path) -> Winners:
    """The grid that `write_csv` wrote. Raises HarnessError where the file holds no whole grid."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        return _grid(lines)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise HarnessError(f"{path}: not a grid of mode=predict ({type(error).__name__}: {error})") from error


def _grid(lines: Sequence[dict[str, str]]) -> Winners:
    if not lines:
        raise ValueError("it is empty")
    names = ("bandwidth_mbps", "rtt_ms", "slowdown")
    points = [tuple(float(line[name]) for name in names) for line in lines]
    values = [tuple(dict.fromkeys(point[at] for point in points)) for at in range(3)]
    axes = Axes(*values)
    if list(zip(*(axis.tolist() for axis in axes.points()), strict=True)) != points:
        raise ValueError("the points of a grid in their order are expected")
    best = [
        Key(
            line["candidate"],
            int(line["split"]) if line["split"] else None,
            line["transfer_layer"],
            line["wire_format"],
        )
        for line in lines
    ]
    second = [Key.parse(line["second"]) if line["second"] else None for line in lines]
    keys = tuple(sorted({*best, *(key for key in second if key is not None)}, key=str))
    index = {key: place for place, key in enumerate(keys)}
    return Winners(
        axes,
        keys,
        np.array([index[key] for key in best]).reshape(axes.shape),
        np.array([float(line["predicted_ms"]) for line in lines]).reshape(axes.shape),
        np.array([-1 if key is None else index[key] for key in second]).reshape(axes.shape),
        np.array([float(line["second_ms"] or "nan") for line in lines]).reshape(axes.shape),
    )


def draw(
    found: Winners, title: str, folder: Path, formats: Sequence[str] = ("svg", "png"), dpi: int = 150
) -> list[Path]:
    """Draws `whatif.<format>`, see `figure`."""
    with sheets.look("whatif", **{"font.size": 10}):
        return sheets.save(figure(found, title), "whatif", folder, formats, dpi)


def figure(found: Winners, title: str) -> Figure:
    """A map over bandwidth and round trip, or the winner's latency along one axis.

    A panel for each of up to four paces of the device. Colours name the winner; the legend gives its share.
    """
    panels = sorted({int(place) for place in np.linspace(0, found.axes.shape[2] - 1, _PANELS).round()})
    drawn = sheets.sheet(4.2 * len(panels) + 3.4, 5.0)
    plots = drawn.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    colours = _colours(found)
    for plot, panel in zip(plots, panels, strict=True):
        _panel(plot, found, panel, colours)
        if len(panels) > 1:
            plot.set_title(f"device {found.axes.slowdown[panel]:g} x slower")
    _legend(drawn, found, colours)
    drawn.suptitle(f"Which candidate wins where: {title}", x=0.01, ha="left", fontsize=10, parse_math=False)
    return drawn


def _panel(plot: Plot, found: Winners, panel: int, colours: dict[Key, str]) -> None:
    bandwidth, rtt = np.array(found.axes.bandwidth_mbps), np.array(found.axes.rtt_ms)
    best = found.best[:, :, panel]
    if len(bandwidth) > 1 and len(rtt) > 1:
        _map(plot, bandwidth, rtt, best, found.keys, colours)
        return
    along, name = (bandwidth, "uplink, Mbit/s") if len(bandwidth) > 1 else (rtt, "round trip, ms")
    values, winners = found.best_ms[:, :, panel].ravel(), best.ravel()
    plot.plot(along, values, color="#999999", linewidth=1)
    for key, colour in colours.items():
        own = np.array([found.keys[int(index)] == key for index in winners])
        plot.plot(along[own], values[own], "o", color=colour, markersize=5)
    plot.set_xlabel(name)
    plot.set_ylabel("predicted latency of the winner, ms")
    _scale(plot, along)


def _map(plot: Plot, bandwidth: Any, rtt: Any, best: Any, keys: Sequence[Key], colours: dict[Key, str]) -> None:
    from matplotlib.colors import ListedColormap

    named = list(colours)
    number = np.array([named.index(key) if key in colours else len(named) for key in keys])
    palette = ListedColormap([*colours.values(), "#dddddd"])
    by_x, by_y = np.argsort(bandwidth), np.argsort(rtt)
    plot.pcolormesh(
        bandwidth[by_x],
        rtt[by_y],
        number[best][np.ix_(by_x, by_y)].T,
        cmap=palette,
        vmin=-0.5,
        vmax=len(named) + 0.5,
        shading="nearest",
        rasterized=True,
    )
    _scale(plot, bandwidth)
    plot.set_xlabel("uplink, Mbit/s")
    plot.set_ylabel("round trip, ms")


def _scale(plot: Plot, values: Any) -> None:
    """Logarithmic from left to right where the values are spread over more than a decade, all above 0."""
    if values.min() > 0 and values.max() / values.min() > 10:
        plot.set_xscale("log")
        sheets.plain_numbers(plot.xaxis)


def _colours(found: Winners) -> dict[Key, str]:
    """A colour for each of the most frequent winners: shades of one hue by transfer layer, darker for later cuts."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    winners = list(found.shares())[:_NAMED]
    hues = {"maxpool": "Blues", "none": "Reds"}
    chosen: dict[Key, str] = {}
    for layer in dict.fromkeys(key.transfer_layer for key in winners if key.split is not None):
        own = sorted(key for key in winners if key.split is not None and key.transfer_layer == layer)
        shades = np.linspace(0.4, 0.95, len(own))
        chosen |= {
            key: to_hex(colormaps[hues.get(layer, "Greens")](float(shade)))
            for key, shade in zip(own, shades, strict=True)
        }
    purples = iter(("#7a5195", "#c9a6dd", "#4a2560"))
    for key in winners:
        if key.split is None:
            chosen[key] = "#333333" if key.candidate == "device-only" else next(purples)
    return {key: chosen[key] for key in winners}


def _legend(figure: Any, found: Winners, colours: dict[Key, str]) -> None:
    from matplotlib.patches import Patch

    shares = found.shares()
    handles = [
        Patch(color=colour, label=f"{style.short_name(key)}  {shares[key]:.0%}") for key, colour in colours.items()
    ]
    rest = sum(share for key, share in shares.items() if key not in colours)
    if rest > 0:
        handles.append(Patch(color="#dddddd", label=f"others  {rest:.0%}"))
    figure.legend(handles=handles, loc="outside right center", title="winner, share of the grid", frameon=False)
