"""The best latency of configurations: of five DNNs (the paper's Fig. 4), or of one DNN on all six (its Table 1)."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.report import sheets, style
from harness.report.figures import canvas
from harness.results.cells import Cell
from harness.results.schema import Row
from harness.validation.statistics import best_split

COLUMNS = (
    *("model", "configuration", "what", "candidate", "provenance", "predicted_ms", "paper_ms", "latency_ms"),
    *("low_ms", "high_ms", "method"),
)
#: Dark to light; the two splits in the paper's red and blue.
_DEVICE_COLOURS = {"cpu_device": "#8b93a1", "gpu_device": "#c9ced6"}
_WIDTH = 0.27
#: Of a line in the legend, beside two others.
_LEGEND_CHARACTERS = 50


@dataclass(frozen=True)
class Bar:
    """One bar: a configuration's best latency. Times in ms.

    provenance: `measured`, `replayed` (tiers waited for recorded times), `predicted` (nothing was measured), or
        `estimated`.
    method: of an estimate.
    """

    model: str
    configuration: str
    what: str
    latency_ms: float
    provenance: str
    candidate: str = ""
    predicted_ms: float | None = None
    paper_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    method: str = ""


def of_row(cell: Cell, row: Row, what: str) -> Bar | None:
    """The bar of one candidate, measured if it was; None where nothing is known of it."""
    ms = row.measured_ms if row.measured_ms is not None else row.predicted_ms
    if ms is None:
        return None
    kind = "predicted" if row.measured_ms is None else "replayed" if row.replayed else "measured"
    return Bar(
        str(cell.model), str(cell.hardware), what, ms, kind, str(row.key), row.predicted_ms, row.paper_ms,
        row.measured_low_ms, row.measured_high_ms,
    )  # fmt: skip


def device_only(cell: Cell) -> Bar | None:
    """The device alone."""
    row = next((row for row in cell.rows if row.key.candidate == "device-only"), None)
    return None if row is None else of_row(cell, row, "device-only")


def best_of(cell: Cell, layer: str, what: str, least: int = 0) -> Bar | None:
    """The best split of a transfer layer from a cut on: among the measured ones, else as predicted."""
    own = [row for row in cell.rows if row.key.transfer_layer == layer and row.key.wire_format == "float32"]
    row = best_split(own, lambda row: row.measured_ms, least) or best_split(own, lambda row: row.predicted_ms, least)
    return None if row is None else of_row(cell, row, what)


# -- Fig. 4 ---------------------------------------------------------------------------------------------

_DEVICES = ("cpu_device", "gpu_device")
_PAIR = "gpu_device-gpu_edge"


def of_models(cells: Sequence[Cell], models: Sequence[str], title: str) -> canvas.Drawing:
    """A group of three bars for each model; a device that nobody recorded is estimated, and hatched."""
    found: dict[tuple[str, str], Bar] = {}
    for model in models:
        for device in _DEVICES:
            _add(found, canvas.find(cells, model=model, hardware=device), device_only)
        _add(
            found, canvas.find(cells, model=model, hardware=_PAIR), lambda cell: best_of(cell, "maxpool", "best split")
        )
    found |= _estimates(found, models)
    groups = [[found.get((model, name)) for name in (*_DEVICES, _PAIR)] for model in models]
    names = [canvas.MODEL_NAMES.get(model, model) for model in models]
    colours = (*_DEVICE_COLOURS.values(), style.PREDICTION_COLOURS["maxpool"])
    labels = ("CPU_Device", "GPU_Device", "GPU_Device-GPU_Edge, best cut with the transfer layer")
    return _grouped(groups, names, colours, labels, title)


def _add(found: dict[tuple[str, str], Bar], cell: Cell | None, bar_of: Callable[[Cell], Bar | None]) -> None:
    if cell is not None and canvas.left_out(cell) is None and (bar := bar_of(cell)) is not None:
        found[(bar.model, bar.configuration)] = bar


def _estimates(found: dict[tuple[str, str], Bar], models: Sequence[str]) -> dict[tuple[str, str], Bar]:
    """CPU_Device of models that nobody recorded there: GPU_Device times the ratio of those that have both."""
    both = [model for model in models if all((model, device) in found for device in _DEVICES)]
    if not both:
        return {}
    ratios = [found[(model, "cpu_device")].latency_ms / found[(model, "gpu_device")].latency_ms for model in both]
    ratio = sum(ratios) / len(ratios)
    method = f"GPU_Device x {ratio:.3g}, the ratio of CPU to GPU for {', '.join(both)}: nobody recorded it"
    made = {}
    for model in models:
        gpu = found.get((model, "gpu_device"))
        if gpu is not None and (model, "cpu_device") not in found:
            bar = Bar(model, "cpu_device", "device-only", gpu.latency_ms * ratio, "estimated", gpu.candidate)
            made[(model, "cpu_device")] = replace(bar, method=method)
    return made


# -- Table 1 --------------------------------------------------------------------------------------------


def of_configurations(cells: Sequence[Cell], model: str, title: str) -> canvas.Drawing:
    """The paper's six configurations: the device alone, or the best cuts of Scission and of ScissionTL."""
    groups: list[list[Bar | None]] = []
    for hardware in canvas.HARDWARE_NAMES:
        cell = canvas.find(cells, model=model, hardware=hardware)
        known = cell if cell is not None and canvas.left_out(cell) is None else None
        least = int(known.summary.get("min_split") or 0) if known is not None else 0
        groups.append(
            [None] * 3
            if known is None
            else [
                device_only(known),
                best_of(known, "none", f"Scission's best from cut {least} on", least),
                best_of(known, "maxpool", f"ScissionTL's best from cut {least} on", least),
            ]
        )
    names = [name.replace("-", "-\n") for name in canvas.HARDWARE_NAMES.values()]
    colours = (_DEVICE_COLOURS["gpu_device"], *(style.PREDICTION_COLOURS[layer] for layer in ("none", "maxpool")))
    labels = (
        "device alone",
        "Scission's best from the minimum split on",
        "ScissionTL's best from the minimum split on",
    )
    return _grouped(groups, names, colours, labels, title)


# -- both -----------------------------------------------------------------------------------------------


def _grouped(
    groups: Sequence[Sequence[Bar | None]],
    names: Sequence[str],
    colours: Sequence[str],
    labels: Sequence[str],
    title: str,
) -> canvas.Drawing:
    figure = sheets.sheet(10.0, 5.0)
    axes = figure.add_subplot()
    highest = max((bar.latency_ms for group in groups for bar in group if bar), default=1.0)
    for at, group in enumerate(groups):
        for place, bar in enumerate(group):
            if bar is not None:
                _bar(axes, at + (place - 1) * _WIDTH, bar, colours[place], 0.012 * highest)
        if not any(group):
            axes.text(at, 0.02 * highest, "not run", ha="center", rotation=90, color="#4b5563")
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel("latency of a request (ms)")
    axes.set_ylim(0, 1.13 * highest)
    axes.set_title(title, loc="left", fontweight="bold")
    canvas.plain(axes)
    bars = [bar for group in groups for bar in group if bar is not None]
    handles = _handles(bars, colours, labels)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return canvas.Drawing(figure, COLUMNS, [vars(bar) for bar in bars])


def _bar(axes: Any, x: float, bar: Bar, colour: str, above: float) -> None:
    hatch = canvas.hatch(replayed=bar.provenance == "replayed", estimated=bar.provenance == "estimated")
    faint = bar.provenance in ("estimated", "predicted")
    axes.bar(
        x, bar.latency_ms, 0.92 * _WIDTH, color=colour, alpha=0.45 if faint else 1.0, hatch=hatch, ec="#5b6470", lw=0.6
    )
    if bar.low_ms is not None and bar.high_ms is not None:
        spread = [[max(0.0, bar.latency_ms - bar.low_ms)], [max(0.0, bar.high_ms - bar.latency_ms)]]
        axes.errorbar(x, bar.latency_ms, yerr=spread, fmt="none", ecolor="#1d2129", elinewidth=1, capsize=2)
    if bar.predicted_ms is not None and bar.provenance != "predicted":
        axes.plot(x, bar.predicted_ms, "_", ms=16, mew=1.6, color="#1d2129", zorder=4)
    cut = bar.candidate.split("/")[1] if bar.candidate.startswith("split/") else ""
    text = f"{bar.latency_ms:.0f}" + (f"\ncut {cut}" if cut else "") + ("*" if bar.provenance == "estimated" else "")
    axes.annotate(text, (x, bar.latency_ms + above), ha="center", va="bottom", fontsize=7)


def _handles(bars: Sequence[Bar], colours: Sequence[str], labels: Sequence[str]) -> list[Any]:
    kinds = {bar.provenance for bar in bars}
    handles: list[Any] = [Patch(facecolor=colour, label=label) for colour, label in zip(colours, labels, strict=True)]
    if any(bar.predicted_ms is not None for bar in bars):
        handles.append(Line2D([], [], ls="none", marker="_", ms=14, mew=1.6, color="#1d2129", label="predicted"))
    handles += canvas.provenance(replayed="replayed" in kinds, estimated=False)
    methods = {bar.method.partition(":")[0] for bar in bars if bar.provenance == "estimated"}
    handles += [
        Patch(
            facecolor="white",
            edgecolor="#5b6470",
            hatch=style.ESTIMATED_HATCH,
            label=textwrap.fill(f"* estimated: {method}", _LEGEND_CHARACTERS),
        )
        for method in sorted(methods)
    ]
    return handles
