"""What earlier cells saw of this host's drift: `drift.jsonl` beside the profiles."""

from __future__ import annotations

from harness.cell import hostlog
from harness.spec import Spec

FILE = "drift.jsonl"
#: The latest observations that count: a host changes.
LATEST = 50


def append(spec: Spec, log_ratio: float) -> None:
    """Note one observation (`harness.prediction.drift.between`)."""
    own = {"model": spec.model.name, "slowdown": spec.hardware.device.slowdown, "log_ratio": log_ratio}
    hostlog.append(spec.profile_dir / FILE, own)


def observed(spec: Spec) -> list[float]:
    """This host's latest observations; a line that is damaged, or another host's, does not count."""
    values = [line.get("log_ratio") for line in hostlog.of_this_host(spec.profile_dir / FILE)]
    return [float(value) for value in values if isinstance(value, int | float)][-LATEST:]
