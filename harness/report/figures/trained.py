"""What mode=train left of a cell, as the figures of accuracy need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.results import accuracy
from harness.results.accuracy import Row
from harness.results.cells import Cell
from harness.transfer import wire


@dataclass(frozen=True)
class Trained:
    """A finished training.

    record: of `accuracy.json`. rows: its stages.
    """

    cell: Cell
    record: dict[str, Any]
    rows: list[Row]

    def row(self, stage: str) -> Row | None:
        """That of a stage; None where it was left out."""
        return accuracy.find(self.rows, stage)

    @property
    def payload_bytes(self) -> int | None:
        """What a request sends, encoded, bytes; None where that depends on the picture."""
        return wire.get(str(self.record["wire_format"])).payload_bytes((1, *self.record["payload_shape"]))

    @property
    def label(self) -> str:
        """The encoding in words."""
        return f"{self.record['transfer_layer']}, {self.record['wire_format']}"


def trainings(cells: Sequence[Cell]) -> list[Trained]:
    """Of the cells that are trainings and ended with a retrained TLModel."""
    found = []
    for cell in cells:
        if (cell.folder / accuracy.ACCURACY).exists():
            record, rows = accuracy.read(cell.folder)
            own = Trained(cell, record, rows)
            if own.row("tl_retrained") is not None:
                found.append(own)
    return found
