"""What crosses the link at each cut, with and without the transfer layer (the paper's Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.report import sheets, style
from harness.report.figures import canvas
from harness.results.cells import Cell
from harness.results.schema import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("model", "split", "transfer_layer", "wire_format", "payload_bytes")
_LABELS = {"none": "Scission (no transfer layer)", "maxpool": "ScissionLite (maxpool)"}
_PICTURES = {"uint8": (":", "the picture, uint8"), "float32": ("--", "the picture, float32")}


def draw(cells: Sequence[Cell], models: Sequence[str], title: str) -> canvas.Drawing:
    """A panel a model: bytes by cut. Nothing here is measured: it is the size of a tensor."""
    figure = sheets.sheet(6.2 * len(models), 4.3)
    plots = figure.subplots(1, len(models), squeeze=False)[0]
    rows: list[tuple[Cell, Row]] = []
    for axes, model in zip(plots, models, strict=True):
        axes.set_title(canvas.MODEL_NAMES.get(model, model), loc="left", fontweight="bold")
        cell = canvas.find(cells, model=model)
        why = canvas.left_out(cell)
        if cell is None or why is not None:
            canvas.empty(axes, why or "not run")
            continue
        _panel(axes, cell.rows)
        rows += [(cell, row) for row in cell.rows if row.payload_bytes is not None]
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    records = [{**row.record(), "model": cell.model} for cell, row in rows]
    return canvas.Drawing(figure, COLUMNS, records)


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    cuts = sorted({row.key.split for row in rows if row.key.split is not None})
    place = {split: at for at, split in enumerate(cuts)}
    for layer, label in _LABELS.items():
        own = [row for row in rows if row.key.transfer_layer == layer and row.key.split is not None]
        sizes = {
            row.key.split: row.payload_bytes for row in own if row.payload_bytes and row.key.wire_format == "float32"
        }
        axes.bar(
            [place[split] + (0.2 if layer == "maxpool" else -0.2) for split in cuts if split in sizes],
            [(sizes[split] or 0) / 1e3 for split in cuts if split in sizes],
            0.4,
            color=style.PREDICTION_COLOURS[layer],
            label=label,
        )
    for name, (dash, label) in _PICTURES.items():
        whole = next((row for row in rows if row.key.candidate == "edge-only" and row.key.wire_format == name), None)
        if whole is not None and whole.payload_bytes:
            axes.axhline(whole.payload_bytes / 1e3, ls=dash, lw=1.1, color="#333333", label=label)
    step = max(1, len(cuts) // 40)
    axes.set_xticks(range(0, len(cuts), step), [str(split) for split in cuts[::step]], rotation=90, fontsize=7)
    axes.set_xlabel("cut: Keras index of the last device layer")
    axes.set_ylabel("payload of a request (kB)")
    axes.legend(frameon=False, fontsize=8)
    canvas.plain(axes)
