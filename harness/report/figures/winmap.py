"""Which candidate wins where, over uplink rate and round trip: redrawn from `whatif.csv`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError
from harness.report import whatif
from harness.report.figures import canvas
from harness.results.cells import Cell


def draw(cells: Sequence[Cell]) -> canvas.Drawing:
    """The map of the last cell that has a grid; it is a prediction throughout.

    Raises:
        HarnessError: no cell has one.
    """
    cell = next((cell for cell in reversed(cells) if (cell.folder / whatif.DATA).exists()), None)
    if cell is None:
        raise HarnessError(f"no {whatif.DATA} in these cells; run experiment=winmap, or mode=predict with whatif axes")
    found = whatif.read_csv(cell.folder / whatif.DATA)
    name = canvas.MODEL_NAMES.get(str(cell.model), str(cell.model))
    title = f"{name} on {canvas.HARDWARE_NAMES.get(str(cell.hardware), str(cell.hardware))}, predicted"
    return canvas.Drawing(whatif.figure(found, title), whatif.COLUMNS, whatif.records(found))
