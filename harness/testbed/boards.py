"""Boards as they were when last reached: which profile is a board's own is asked before it is reached (files alone)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.results.records import write_json
from harness.spec import Spec

_FOLDER = "boards"


def known(spec: Spec) -> dict[str, Any]:
    """`identity` and `versions` of the board of `hardware=remote`; of one that was never reached, no profile is."""
    try:
        record: dict[str, Any] = json.loads(_path(spec).read_text(encoding="utf-8"))
        return {"identity": str(record["identity"]), "versions": dict(record["versions"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"identity": f"the board {spec.hardware.device.host}, never reached", "versions": {}}


def remember(spec: Spec, identity: str, versions: dict[str, str]) -> None:
    """Keep what a board said of itself."""
    path = _path(spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"host": spec.hardware.device.host, "identity": identity, "versions": versions})


def _path(spec: Spec) -> Path:
    board = spec.hardware.device
    named = json.dumps([board.host, board.ssh_config, list(board.ssh_options), board.python])
    return spec.profile_dir / _FOLDER / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"
