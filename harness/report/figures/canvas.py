"""What the figures of the experiments share: one look, hatches, names, and the files that a figure leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.report import sheets, style
from harness.results.cells import Cell
from harness.results.records import csv_text, write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Over times that a recording dictated: a tier waited for them, nothing computed.
REPLAYED_HATCH = "..."
_EDGE = "#5b6470"


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers in it.

    columns, records: of its CSV, in order.
    """

    figure: Figure
    columns: Sequence[str]
    records: Sequence[Mapping[str, Any]]


def look(name: str) -> AbstractContextManager[None]:
    """The settings under which the figure `name` is drawn and saved, see `sheets.look`."""
    return sheets.look(name, **{"hatch.linewidth": 0.5, "hatch.color": _EDGE})


def save(name: str, drawing: Drawing, folder: Path, formats: Sequence[str], dpi: int) -> list[Path]:
    """Write NAME.csv and NAME.FORMAT for each format; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{name}.csv"
    write_atomic(table, csv_text(drawing.columns, drawing.records))
    return [table, *sheets.save(drawing.figure, name, folder, formats, dpi)]


def plain(axes: Axes, *, grid: Literal["both", "x", "y"] = "y") -> None:
    """A quiet grid behind the data, no frame above and on the right."""
    axes.grid(axis=grid, color="#e3e6ea", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def empty(axes: Axes, text: str) -> None:
    """A panel without data says why."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#c9ced6")
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#4b5563", wrap=True)


def hatch(*, replayed: bool, estimated: bool) -> str:
    """The hatch of a bar, so that nobody takes it for a time that something computed here."""
    return style.ESTIMATED_HATCH if estimated else REPLAYED_HATCH * replayed


def provenance(*, replayed: bool, estimated: bool) -> list[Patch]:
    """The legend of the hatches in use."""
    looks = (
        (replayed, REPLAYED_HATCH, "replayed: waited for as long as recorded"),
        (estimated, style.ESTIMATED_HATCH, "estimated: recorded nowhere"),
    )
    return [Patch(facecolor="white", edgecolor=_EDGE, hatch=own, label=label) for used, own, label in looks if used]


def find(cells: Sequence[Cell], **wanted: object) -> Cell | None:
    """The last of the finished cells with these attributes, e.g. `model="resnet101"`, that has rows; or None."""
    fitting = (cell for cell in reversed(cells) if all(getattr(cell, key) == value for key, value in wanted.items()))
    return next((cell for cell in fitting if cell.status == "ok" and cell.rows), None)


def left_out(cell: Cell | None) -> str | None:
    """Why there is nothing to draw of a cell, None where there is."""
    if cell is None:
        return "not run"
    why = cell.summary.get("left_out")
    return None if why is None else str(why)


def identity(cell: Cell) -> dict[str, Any]:
    """How a cell stands in a figure's CSV."""
    return {name: getattr(cell, name) for name in ("model", "hardware", "bandwidth_mbps", "rtt_ms")}


#: Names as the paper and Keras write them.
MODEL_NAMES = {
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
    "resnet101": "ResNet101",
    "inceptionresnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
}
HARDWARE_NAMES = {
    "cpu_device": "CPU_Device",
    "gpu_device": "GPU_Device",
    "cpu_device-cpu_edge": "CPU_Device-CPU_Edge",
    "cpu_device-gpu_edge": "CPU_Device-GPU_Edge",
    "gpu_device-cpu_edge": "GPU_Device-CPU_Edge",
    "gpu_device-gpu_edge": "GPU_Device-GPU_Edge",
}
