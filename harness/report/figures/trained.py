"""What mode=train left of a cell, as the figures of accuracy need it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.results import accuracy
from harness.results.accuracy import Row
from harness.results.cells import Cell

#: Bytes of one element on the wire; formats that are packed by entropy have no size before there is a picture.
_ELEMENT_BYTES = {"float32": 4, "float16": 2, "uint8": 1}


@dataclass(frozen=True)
class Trained:
    """A finished training.

    record: of `accuracy.json`. payload_bytes: at the cut, None where its size depends on the picture.
    """

    cell: Cell
    record: dict[str, Any]
    rows: list[Row]

    def row(self, stage: str) -> Row | None:
        return accuracy.find(self.rows, stage)

    @property
    def payload_bytes(self) -> int | None:
        element = _ELEMENT_BYTES.get(str(self.record["wire_format"]))
        return None if element is None else element * math.prod(self.record["payload_shape"])

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
