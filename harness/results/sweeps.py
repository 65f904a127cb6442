"""`sweep.json`: the cells of a sweep as they were before the first of them began, and in which order they run."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.results.records import read_json, write_json

FILE = "sweep.json"


@dataclass(frozen=True)
class FrozenCell:
    """One cell to be.

    number: among the cells as typed, from 0.
    folder: its folder, from that of the sweep.
    overrides: what was typed for it.
    spec: every key resolved (`Spec.from_config` reads it).
    """

    number: int
    folder: str
    overrides: tuple[str, ...]
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class SweepRecord:
    """A sweep to be.

    order: `random` or `given`; seed: of the random one.
    sequence: the cells' numbers in the order in which they run.
    starts: when it was started, each time, and from which code.
    """

    cells: tuple[FrozenCell, ...]
    order: str
    seed: int
    sequence: tuple[int, ...]
    starts: tuple[Mapping[str, Any], ...] = ()

    @property
    def typed(self) -> list[tuple[str, ...]]:
        """What makes two sweeps the same one: the overrides of every cell."""
        return [cell.overrides for cell in self.cells]

    def started(self, start: Mapping[str, Any]) -> SweepRecord:
        """The record of one start more."""
        return replace(self, starts=(*self.starts, start))


def write(folder: Path, record: SweepRecord) -> None:
    """Put it at the root of the sweep, whole or not at all."""
    write_json(folder / FILE, asdict(record))


def read(folder: Path) -> SweepRecord | None:
    """That of a sweep's folder; None where there is none.

    Raises:
        HarnessError: it is there, and cannot be read.
    """
    path = Path(folder) / FILE
    try:
        changed = path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _read(path, changed)


@functools.lru_cache(maxsize=1)  # every cell of a sweep asks for it
def _read(path: Path, _changed_ns: int) -> SweepRecord:
    record = read_json(path)
    try:
        cells = tuple(
            FrozenCell(int(each["number"]), str(each["folder"]), tuple(each["overrides"]), dict(each["spec"]))
            for each in record["cells"]
        )
        sequence: Sequence[int] = record["sequence"]
        return SweepRecord(cells, str(record["order"]), int(record["seed"]), tuple(sequence), tuple(record["starts"]))
    except (KeyError, TypeError, ValueError) as error:
        raise HarnessError(f"{path} is no record of a sweep: {type(error).__name__}: {error}") from None
