"""The answer to a what-if: which candidate wins where, as `whatif.csv` and as a map."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.prediction.whatif import Winners
from harness.report import style
from harness.results.records import write_atomic
from harness.results.schema import Key

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot

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


def write_csv(found: Winners, folder: Path) -> Path:
    """`whatif.csv`, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    bandwidth, rtt, slowdown = found.axes.points()
    best, best_ms = found.best.ravel(), found.best_ms.ravel()
    second, second_ms = found.second.ravel(), found.second_ms.ravel()
    for place in range(best.size):
        key = found.keys[int(best[place])]
        next_best = ("", "") if second[place] < 0 else (str(found.keys[int(second[place])]), f"{second_ms[place]:.4f}")
        writer.writerow(
            (
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
        )
    write_atomic(folder / DATA, text.getvalue())
    return folder / DATA


def draw(
    found: Winners, title: str, folder: Path, formats: Sequence[str] = ("svg", "png"), dpi: int = 150
) -> list[Path]:
    """Draws `whatif.<format>`: a map over bandwidth and round trip, or the winner's latency along one axis.

    A panel for each of up to four paces of the device. Colours name the winner; the legend gives its share.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = sorted({int(place) for place in np.linspace(0, found.axes.shape[2] - 1, _PANELS).round()})
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "whatif", "font.size": 10, "font.family": "sans-serif"}):
        figure = Figure(figsize=(4.2 * len(panels) + 3.4, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        plots = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        colours = _colours(found)
        for plot, panel in zip(plots, panels, strict=True):
            _panel(plot, found, panel, colours)
            if len(panels) > 1:
                plot.set_title(f"device {found.axes.slowdown[panel]:g} x slower")
        _legend(figure, found, colours)
        figure.suptitle(f"Which candidate wins where: {title}")
        paths = [folder / f"whatif.{kind}" for kind in formats]
        for path in paths:
            figure.savefig(path, dpi=dpi, metadata={"Date": None} if path.suffix == ".svg" else {})
    return paths


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
    _scale(plot.set_xscale, along)


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
    _scale(plot.set_xscale, bandwidth)
    plot.set_xlabel("uplink, Mbit/s")
    plot.set_ylabel("round trip, ms")


def _scale(set_scale: Any, values: Any) -> None:
    """Logarithmic where the values are spread over more than a decade, all above 0."""
    if values.min() > 0 and values.max() / values.min() > 10:
        set_scale("log")


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
    figure.legend(handles=handles, loc="outside right upper", title="winner, share of the grid", frameon=False)
