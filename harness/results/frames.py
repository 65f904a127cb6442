"""Results as a pandas frame (optional extra `pandas`): `harness.load("outputs/...")`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.results.cells import Cell, gathered, swept_keys
from harness.results.schema import SWEEP_COLUMNS, columns_of

if TYPE_CHECKING:
    import pandas


def load(*sources: str | Path) -> pandas.DataFrame:
    """One tidy table of any results: a row per candidate and encoding of each cell.

    Args:
        sources: folders of cells, of sweeps, or above either; each cell counts once.

    Returns:
        The columns of a sweep's `results.csv` (times in ms, `payload_bytes` in bytes, `bandwidth_mbps` in Mbit/s,
        `error` a fraction) after `cell`, the folder that a row is from. Empty is NaN. Rows of cells that did not end
        well are left out; `frame.attrs["cells"]` has every cell with its status, verdict and error.

    Raises:
        ImportError: pandas is not installed.
        SpecError: a folder is missing, or holds no cell.

    Example:
        frame = harness.load("outputs/sweeps")
        frame[frame.measured_ms.notna()].groupby("bandwidth_mbps").error.mean()
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "harness.load gives a pandas frame, and pandas is not installed: "
            "pip install 'scissionlite-harness[pandas]', or read results.csv and splits.csv as they are"
        ) from error
    cells = gathered(map(Path, sources), "harness.load: ")
    keys = swept_keys(cells)
    good = [cell for cell in cells if cell.status == "ok"]
    own = columns_of(row for cell in good for row in cell.rows)
    columns = ["cell", *SWEEP_COLUMNS, *(f"sweep.{key}" for key in keys), *own]
    records = [record for cell in good for record in _records(cell, keys)]
    frame = pandas.DataFrame.from_records(records, columns=columns)
    for column in frame.columns:
        if column.endswith(("_ms", "_mbps", "_bytes")) or column in ("error", "samples"):
            frame[column] = pandas.to_numeric(frame[column])
        elif column == "split":
            frame[column] = frame[column].astype("Int64")
    frame.attrs["cells"] = [
        {"cell": str(cell.folder), "status": cell.status, "verdict": cell.verdict, "error": cell.error}
        for cell in cells
    ]
    return frame


def _records(cell: Cell, keys: list[str]) -> list[dict[str, Any]]:
    start: dict[str, Any] = {"cell": str(cell.folder)} | {name: getattr(cell, name) for name in SWEEP_COLUMNS}
    start |= {f"sweep.{key}": cell.overrides.get(key) for key in keys}
    return [start | row.record() for row in cell.rows]
