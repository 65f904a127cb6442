"""What a training leaves in its folder: `accuracy.json`, `accuracy.csv`, `history.csv`, `predictions.npz`.

`accuracy.json` has `schema_version` and is the truth; the two tables hold its `rows` and `history` for other tools.
`predictions.npz` has the class that each stage predicts for each test picture, and the labels, so that any other
statistic can be had without a network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.results.records import csv_text, read_json, write_atomic, write_json

ACCURACY = "accuracy.json"
TABLE = "accuracy.csv"
HISTORY = "history.csv"
PREDICTIONS = "predictions.npz"
#: The trained TLModel, for mode=deploy.
TL_MODEL = "tl_model.keras"

#: In this order: the model without a transfer layer, the same trained on for as long as the TLModel; the TLModel with
#: the original's weights, with its batch normalisation recalibrated, and retrained.
STAGES = ("original", "control", "tl_before", "tl_recalibrated", "tl_retrained")
COLUMNS = (
    *("stage", "top1", "top5", "images", "validation_top1", "epochs"),
    *("drop_points", "drop_low_points", "drop_high_points"),
)
HISTORY_COLUMNS = (
    *("stage", "epoch", "step", "learning_rate", "loss"),
    *("validation_top1", "validation_top5", "seconds_per_step"),
)
#: Half the width of a 95 % interval in standard errors.
_Z95 = 1.959964


@dataclass(frozen=True)
class Row:
    """One stage on the test part.

    top1, top5       shares of `images`
    validation_top1  share of the validation part
    epochs           that this stage was trained for
    drop_*           what top-1 loses against the reference, the better of original and control on the test part, in
                     percentage points, with a 95 % interval over test pictures; None without a reference
    """

    stage: str
    top1: float
    top5: float
    images: int
    validation_top1: float
    epochs: float = 0.0
    drop_points: float | None = None
    drop_low_points: float | None = None
    drop_high_points: float | None = None


def paired_drop(reference: Sequence[bool], other: Sequence[bool]) -> tuple[float, float, float]:
    """How many percentage points `other` is right less often than `reference` on the same pictures.

    Returns:
        The drop and its 95 % interval: mean and standard error of the paired differences, each -1, 0 or 1.
    """
    count = len(reference)
    lost = sum(a and not b for a, b in zip(reference, other, strict=True))
    won = sum(b and not a for a, b in zip(reference, other, strict=True))
    mean = (lost - won) / count
    error = math.sqrt(max(0.0, (lost + won) / count - mean**2) / count)
    return 100 * mean, 100 * (mean - _Z95 * error), 100 * (mean + _Z95 * error)


def write(folder: Path, record: Mapping[str, Any], rows: Sequence[Row], history: Sequence[Mapping[str, Any]]) -> None:
    """`accuracy.json` with what `record` says of the experiment, and the two tables."""
    table = [asdict(row) for row in rows]
    write_json(folder / ACCURACY, {**record, "rows": table, "history": list(history)})
    write_atomic(folder / TABLE, csv_text(COLUMNS, table))
    write_atomic(folder / HISTORY, csv_text(HISTORY_COLUMNS, history))


def read(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """`accuracy.json` and its rows. Raises HarnessError where it is missing or not one."""
    record = read_json(Path(folder) / ACCURACY)
    try:
        return record, [Row(**row) for row in record["rows"]]
    except (KeyError, TypeError) as error:
        raise HarnessError(f"{folder} holds no {ACCURACY} of this version; run mode=train again") from error


def find(rows: Sequence[Row], stage: str) -> Row | None:
    """The row of a stage."""
    return next((row for row in rows if row.stage == stage), None)
