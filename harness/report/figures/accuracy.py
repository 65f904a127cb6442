"""Accuracy of the retrained TLModel against the original (the form of the paper's Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.report import sheets
from harness.report.figures import canvas
from harness.report.figures.trained import Trained, trainings
from harness.results.accuracy import STAGES
from harness.results.cells import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    *("model", "split", "layer", "transfer_layer", "wire_format", "dataset", "seed", "stage", "top1", "top5"),
    *("images", "drop_points", "drop_low_points", "drop_high_points"),
)
_LABELS = {
    "original": "original",
    "control": "original, trained on for as long",
    "tl_before": "TLModel, not retrained",
    "tl_recalibrated": "TLModel, batch normalisation recalibrated",
    "tl_retrained": "TLModel, retrained (ScissionLite)",
}
#: From grey to the blue of ScissionTL; markers differ too.
_COLOURS = dict(zip(STAGES, ("#333333", "#8b93a1", "#cc3311", "#e08e45", "#0b5cad"), strict=True))
_MARKERS = dict(zip(STAGES, "oDxsP", strict=True))


def draw(cells: Sequence[Cell]) -> canvas.Drawing:
    """Left top-5 accuracy of every stage, right what top-1 loses, with its 95 % interval over test pictures.

    Raises:
        HarnessError: no cell is a finished training.
    """
    found = trainings(cells)
    if not found:
        raise HarnessError("no finished training in these cells; run experiment=table2, or experiments/accuracy.py")
    figure = sheets.sheet(11.5, 1.6 + 0.55 * len(found))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [f"{_name(own)}\ncut {own.record['split']}, {own.label}, seed {own.record['seed']}" for own in found]
    _accuracies(left, found)
    _drops(right, found)
    left.set_yticks(range(len(found)), names, fontsize=8)
    left.set_ylim(len(found) - 0.5, -0.5)  # from the top down
    datasets = ", ".join(dict.fromkeys(str(own.record["dataset"]) for own in found))
    sizes = {tuple(own.record["input_shape"][:2]) for own in found}
    shape = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
    figure.suptitle(
        f"Accuracy with the transfer layer: {datasets}, {shape} pixels (the paper: ImageNet)", x=0.01, ha="left",
        fontweight="bold",
    )  # fmt: skip
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return canvas.Drawing(figure, COLUMNS, [record for own in found for record in _records(own)])


def _name(own: Trained) -> str:
    return canvas.MODEL_NAMES.get(str(own.record["model"]), str(own.record["model"]))


def _accuracies(axes: Axes, found: Sequence[Trained]) -> None:
    for stage, label in _LABELS.items():
        known = [(100 * row.top5, place) for place, own in enumerate(found) if (row := own.row(stage)) is not None]
        if known:
            axes.plot(*zip(*known, strict=True), _MARKERS[stage], color=_COLOURS[stage], ms=7, label=label, ls="none")
    axes.set_xlabel("top-5 accuracy (%)")
    canvas.plain(axes, grid="x")


def _drops(axes: Axes, found: Sequence[Trained]) -> None:
    for place, own in enumerate(found):
        row = own.row("tl_retrained")
        if row is None or row.drop_points is None:
            continue
        low = row.drop_points if row.drop_low_points is None else row.drop_low_points
        high = row.drop_points if row.drop_high_points is None else row.drop_high_points
        spread = [[max(0.0, row.drop_points - low)], [max(0.0, high - row.drop_points)]]
        axes.errorbar(
            row.drop_points, place, xerr=spread, fmt=_MARKERS["tl_retrained"], color=_COLOURS["tl_retrained"], ms=7
        )
    axes.axvline(0, color="#6b7280", lw=0.8)
    axes.set_xlabel("top-1 points that the retrained TLModel loses, 95 % interval")
    canvas.plain(axes, grid="x")


def _records(own: Trained) -> list[dict[str, Any]]:
    shared = {name: own.record[name] for name in COLUMNS[:7]}
    return [{**shared, **vars(row)} for row in own.rows]
