"""The cells of a sweep as they lie on disk. A cell that cannot be read is a cell too, and says why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import HarnessError, SpecError
from harness.results import sweeps
from harness.results.records import SPLITS, STATUS, SUMMARY, read_json, read_splits
from harness.results.schema import Row

#: PyYAML's safe loader, libyaml's where it is built in, which is faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: What marks a folder as a job's: written first by the harness, and by Hydra before that.
_MARKS = (STATUS, "spec.yaml", ".hydra")
#: Overrides that have columns of their own in `results.csv`.
NAMED_KEYS = ("model", "hardware", "bandwidth", "latency")
_STATUSES = ("ok", "invalid", "failed", "interrupted")


@dataclass(frozen=True)
class Cell:
    """One job folder of a sweep.

    `name` is its path below the sweep; `overrides` are the task overrides that Hydra recorded;
    `error` is empty only when the job ended well and everything it wrote could be read; `attempts` counts the tries
    of a sweep that was started again.
    """

    name: str
    folder: Path
    status: str
    verdict: str | None = None
    error: str = ""
    exit_code: int = 0
    attempts: int = 1
    model: str | None = None
    hardware: str | None = None
    bandwidth_mbps: float | None = None
    rtt_ms: float | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def find_cells(folder: Path) -> list[Cell]:
    """Every job folder below `folder`, in natural order (2 before 10); never raises for a broken one.

    Where `folder` is a sweep that ended early, also its cells that never began.
    """
    marked = {path.parent for mark in _MARKS for path in Path(folder).rglob(mark)} - {Path(folder)}
    marked = {path for path in marked if not {".hydra", ".code"} & set(path.relative_to(folder).parts)}
    cells = [read_cell(path, str(path.relative_to(folder))) for path in marked]
    return sorted([*cells, *_not_begun(Path(folder), marked)], key=lambda cell: _natural(cell.folder))


def _not_begun(folder: Path, begun: set[Path]) -> list[Cell]:
    try:
        record = sweeps.read(folder)
    except HarnessError:
        record = None
    return [
        Cell(
            name=cell.folder,
            folder=folder / cell.folder,
            status="interrupted",
            error="not started: the sweep ended before its turn",
            exit_code=130,
            overrides=_overrides(list(cell.overrides)),
            **_identity(cell.spec),
        )
        for cell in (record.cells if record is not None else ())
        if folder / cell.folder not in begun
    ]


def is_cell(folder: Path) -> bool:
    """Whether a folder is a job's own, and not one of jobs."""
    return any((Path(folder) / mark).exists() for mark in (STATUS, "spec.yaml"))


def cells_in(folder: Path) -> list[Cell]:
    """The one that a folder is, else those below it; never raises for a broken one."""
    return [read_cell(folder, folder.name)] if is_cell(folder) else find_cells(folder)


def gathered(sources: Iterable[Path], given: str) -> list[Cell]:
    """The cells in some folders, each once, in the order given.

    Args:
        given: what stands before the name of a folder in a message, e.g. `from=`.

    Raises:
        SpecError: a folder is missing, or holds no cell.
    """
    found: dict[Path, Cell] = {}
    for source in sources:
        if not source.is_dir():
            raise SpecError(f"{given}{source}: there is no such folder; allowed: folders of cells or of sweeps")
        cells = cells_in(source)
        if not cells:
            raise SpecError(f"{given}{source}: no cell in it; allowed: a folder with a spec.yaml, or one above it")
        for cell in cells:
            found.setdefault(cell.folder.resolve(), cell)
    return list(found.values())


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]


def read_cell(folder: Path, name: str) -> Cell:
    """One job folder; what cannot be read makes it a failed cell that names the file and the reason."""
    troubles: list[str] = []

    def attempt(read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except (HarnessError, OSError, ValueError, yaml.YAMLError) as error:
            troubles.append(" ".join(str(error).split()))
            return None

    status = attempt(read_json, folder / STATUS) or {}
    if not status and not troubles:
        troubles.append(f"no {STATUS}: the job was killed before it could say how it ended")
    summary = attempt(read_json, folder / SUMMARY) or {}
    rows = attempt(read_splits, folder) if (folder / SPLITS).exists() else None
    identity = _identity(attempt(_read_yaml, folder / "spec.yaml"))
    overrides = _overrides(attempt(_read_yaml, folder / ".hydra" / "overrides.yaml"))

    kind = str(status.get("status") or "failed")
    if kind not in _STATUSES:
        troubles.append(f"{STATUS}: status {kind!r}, allowed: {', '.join(_STATUSES)}")
    if troubles and kind != "interrupted":
        kind = "failed"
    code = status.get("exit_code")
    return Cell(
        name=name,
        folder=folder,
        status=kind,
        verdict=status.get("verdict"),
        error="; ".join([text for text in (str(status.get("error") or ""),) if text] + troubles),
        exit_code=code if isinstance(code, int) and (code or not troubles) else int(kind != "ok"),
        attempts=tries if isinstance(tries := status.get("attempt"), int) else 1,
        overrides=overrides,
        summary=summary,
        rows=rows or [],
        **identity,
    )


def _read_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), _LOADER) if path.exists() else None


def _identity(spec: Any) -> dict[str, Any]:
    """What `results.csv` starts with, from a resolved spec; None for what is not there."""
    spec = spec if isinstance(spec, dict) else {}

    def group(key: str) -> str | None:
        value = spec.get(key)
        value = value.get("name") if isinstance(value, dict) else value
        return None if value is None else str(value)

    def number(key: str) -> float | None:
        value = spec.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    return {
        "model": group("model"),
        "hardware": group("hardware"),
        "bandwidth_mbps": number("bandwidth") if group("link") in (None, "static") else None,  # a trace has its own
        "rtt_ms": number("latency"),
    }


def _overrides(lines: Any) -> dict[str, str]:
    pairs = (str(line).partition("=") for line in lines) if isinstance(lines, list) else ()
    return {key.lstrip("+~"): value for key, _, value in pairs}


def swept_keys(cells: list[Cell]) -> list[str]:
    """The overrides that differ between cells, other than those with columns of their own, in their order."""
    known = [cell for cell in cells if cell.overrides]
    keys = dict.fromkeys(key for cell in known for key in cell.overrides if key not in NAMED_KEYS)
    return [key for key in keys if len({cell.overrides.get(key) for cell in known}) > 1]
