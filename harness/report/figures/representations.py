"""What crosses the front cuts (the paper's Fig. 8), redrawn from the tiles and numbers that mode=profile left."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.report import representations
from harness.report.figures import canvas
from harness.results.cells import Cell
from harness.results.leakage import CutLeakage
from harness.results.text import to_float

COLUMNS = ("model", "split", "layer", "transfer_layer", "distance_correlation", "ssim")
TILES, TABLE = "representations.npz", "leakage.csv"


def draw(cells: Sequence[Cell]) -> canvas.Drawing:
    """A row of small images for each front cut of the last cell that has them.

    Raises:
        HarnessError: no cell has them, or its table is broken.
    """
    cell = next((cell for cell in reversed(cells) if (cell.folder / TILES).exists()), None)
    if cell is None:
        raise HarnessError(f"no {TILES} in these cells; run experiment=fig8, or mode=profile leakage.enabled=true")
    cuts = _cuts(cell.folder / TABLE)
    name = canvas.MODEL_NAMES.get(str(cell.model), str(cell.model))
    weights = cell.summary.get("weights") or "weights unknown"
    title = (
        f"What crosses the front cuts of {name} ({weights})\n"
        "and its distance correlation with the picture (1: all of it, 0: nothing)"
    )
    figure, shown = representations.figure(cell.folder / TILES, cuts, title)
    records = [{"model": cell.model, **vars(cut)} for cut in cuts if cut.split in shown]
    return canvas.Drawing(figure, COLUMNS, records)


def _cuts(path: Path) -> list[CutLeakage]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                CutLeakage(
                    int(line["split"]),
                    line["layer"],
                    line["transfer_layer"],
                    float(line["distance_correlation"]),
                    to_float(line["ssim"]),
                )
                for line in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise HarnessError(f"{path}: {type(error).__name__}: {error}; run mode=profile again") from error
