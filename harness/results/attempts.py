"""`attempts.jsonl` of a sweep's cell: every try of it, also those that were killed. No retry is silent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "attempts.jsonl"


@dataclass(frozen=True)
class Attempt:
    """One try of a cell.

    number: from 1.
    earlier: how those before it ended: `started`, `status` (`killed` where nothing says how), `error`.
    """

    folder: Path
    number: int
    started: str
    earlier: tuple[Mapping[str, Any], ...]

    def record(self) -> dict[str, Any]:
        """What `status.json` says of it."""
        return {"attempt": self.number, "earlier_attempts": [dict(each) for each in self.earlier]}

    def end(self, status: Mapping[str, Any]) -> None:
        """Note how it ended."""
        _append(self.folder, {"attempt": self.number, **{key: status.get(key) for key in ("status", "error")}})


def begin(folder: Path) -> Attempt:
    """Note that a try of the cell in `folder` begins."""
    earlier = read(folder)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    attempt = Attempt(folder, len(earlier) + 1, started, tuple(earlier))
    _append(folder, {"attempt": attempt.number, "started": started})
    return attempt


def read(folder: Path) -> list[dict[str, Any]]:
    """The tries so far, each with `started`, `status` and `error`; a line that was cut short by a kill is left out."""
    found: dict[int, dict[str, Any]] = {}
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
            own = found.setdefault(int(record["attempt"]), {"started": None, "status": "killed", "error": None})
        except (ValueError, KeyError, TypeError):
            continue
        own |= {key: record[key] for key in own if key in record}
    return [found[number] for number in sorted(found)]


def _append(folder: Path, record: Mapping[str, Any]) -> None:
    """A line; with the line end of one that a kill cut short before it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps(dict(record)) + "\n")
