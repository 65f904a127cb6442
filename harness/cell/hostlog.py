"""Logs beside the profiles of what happened on a host, a JSON line each."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.results.disk import naming
from harness.testbed import host


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a line with this host's name and the time to it. It is written at once or not at all."""
    line = {"host": host.identity(), "at": datetime.now(UTC).isoformat(timespec="seconds"), **record}
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        with naming(path):
            os.write(descriptor, (json.dumps(line, sort_keys=True) + "\n").encode())
    finally:
        os.close(descriptor)


def of_this_host(path: Path) -> list[dict[str, Any]]:
    """This host's lines, in their order; a damaged one does not count. Empty where there is no file."""
    if not path.exists():
        return []
    here, found = host.identity(), []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("host") == here:
            found.append(line)
    return found
