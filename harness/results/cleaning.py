"""What of a folder is ours and may go (`mode=clean`): cells, sweeps, cached profiles. Anything else stays."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.results.occupied import vacant
from harness.results.records import STATUS

_SPEC = "spec.yaml"
#: What a sweep has at its root beside its cells.
_OF_A_SWEEP = frozenset(
    {"results.csv", "summary.json", "summary.md", "report.html", "junit.xml", "multirun.yaml", "sweep.json", ".code"}
    | {"error.log"}  # where gathering it went wrong
)
_OF_A_FIGURE = frozenset({".csv", ".svg", ".png", ".pdf"})
#: What stands beside cached profiles.
_LOGS = frozenset({"drift.jsonl", "durations.jsonl"})
#: Profiles are named by what they hold and by its content (`harness.cell.cache`); a journal is one in the making.
_PROFILE = re.compile(
    r".+-(?:(?:compiled|eager)-(?:device|edge|calibration)|features-.+|leakage)-[0-9a-f]{16}\.json(?:\.journal)?"
)


@dataclass(frozen=True)
class Ours:
    """A folder or a file that this harness wrote.

    kind: `cell`, `sweep`, `profile`, `log of a host`.
    """

    path: Path
    kind: str
    size_bytes: int

    def remove(self) -> None:
        """Raises OSError where the file system refuses, or somebody is at work in it or in the sweep that it is of."""
        if not self.path.is_dir():
            self.path.unlink()
            return
        with ExitStack() as held:
            for folder in (self.path.parent, self.path):
                if (holder := held.enter_context(vacant(folder))) is not None:
                    raise OSError(errno.EBUSY, f"{holder} is running in {folder}")
            shutil.rmtree(self.path)


def find(folder: Path, figures: Collection[str] = ()) -> list[Ours]:
    """What lies below `folder` and is ours, in the order of its path; links are never followed, nor removed.

    Args:
        figures: names of the experiments, whose sweeps also hold their figure.
    """
    if not folder.is_dir() or folder.is_symlink():
        return []
    return sorted(_find(folder, figures), key=lambda each: each.path)


def _find(folder: Path, figures: Collection[str]) -> Iterator[Ours]:
    for path in folder.iterdir():
        if path.is_symlink():
            continue
        if path.is_file():
            kind = "log of a host" if path.name in _LOGS else "profile" if _PROFILE.fullmatch(path.name) else None
            if kind:
                yield Ours(path, kind, path.stat().st_size)
        elif not path.is_dir():  # a socket or the like
            continue
        elif _is_cell(path):
            yield Ours(path, "cell", _size(path))
        elif _is_sweep(path, figures):
            yield Ours(path, "sweep", _size(path))
        else:
            yield from _find(path, figures)


def _is_cell(folder: Path) -> bool:
    """A status with our version; or the spec of a cell that was killed before it had one."""
    return _versioned(folder / STATUS) or _starts(folder / _SPEC, "schema_version:")


def _is_sweep(folder: Path, figures: Collection[str]) -> bool:
    """Nothing in it but cells and what is made of them: a folder that somebody keeps notes in is not removed whole."""
    found = [path for path in folder.iterdir() if path.name != ".hydra"]
    cells = [path for path in found if path.is_dir() and path.name not in _OF_A_SWEEP and _is_cell(path)]
    theirs = [
        path
        for path in found
        if path.name in _OF_A_SWEEP or (path.suffix in _OF_A_FIGURE and path.is_file() and path.stem in figures)
    ]
    begun = bool(cells) or (folder / "sweep.json").exists()  # a sweep killed before its first cell has none
    return begun and bool(theirs) and len(cells) + len(theirs) == len(found)


def _versioned(path: Path) -> bool:
    try:
        return "schema_version" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _starts(path: Path, text: str) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(text)) == text.encode()
    except OSError:
        return False


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
