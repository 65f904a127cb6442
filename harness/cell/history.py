"""What earlier cells saw of this host's drift: `drift.jsonl` beside the profiles."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from harness.spec import Spec
from harness.testbed import host

FILE = "drift.jsonl"
#: The latest observations that count: a host changes.
LATEST = 50


def append(spec: Spec, log_ratio: float) -> None:
    """Note one observation (`harness.prediction.drift.between`). A line is written at once or not at all."""
    record = {
        "host": host.identity(),
        "model": spec.model.name,
        "slowdown": spec.hardware.device.slowdown,
        "log_ratio": log_ratio,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = spec.profile_dir / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (json.dumps(record, sort_keys=True) + "\n").encode())
    finally:
        os.close(descriptor)


def observed(spec: Spec) -> list[float]:
    """This host's latest observations; a line that is damaged, or another host's, does not count."""
    path: Path = spec.profile_dir / FILE
    if not path.exists():
        return []
    here, found = host.identity(), []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            if record["host"] == here:
                found.append(float(record["log_ratio"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found[-LATEST:]
