"""What is around a tier's process on this host: its environment, its core, what it left in its log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import CapabilityError
from harness.spec.hardware import Tier


def environment(extra: dict[str, str], tier: Tier) -> dict[str, str]:
    """The environment of a tier: this process's, no GPU of the host but the one asked for, quiet TensorFlow."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **visible(tier), "PYTHONUNBUFFERED": "1", **extra}


def visible(tier: Tier) -> dict[str, str]:
    """Which GPUs a tier's processes see."""
    if tier.processor == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(tier.gpu)}  # numbered as nvidia-smi does


@contextmanager
def pinned(cpu: int) -> Iterator[list[str]]:
    """Keep every thread of this process, gRPC's too, on one core; a note where this host does not permit it."""
    before = os.sched_getaffinity(0)
    try:
        _set_affinity({cpu})
    except OSError as error:
        yield [f"this process is not pinned to core {cpu}: {error.strerror}"]
        return
    try:
        yield []
    finally:
        _set_affinity(before)


def _set_affinity(cpus: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 (names are wanted, not paths)
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cpus)


def check_cpus(device_cpu: int, edge_cpu: int) -> None:
    allowed = os.sched_getaffinity(0)
    for tier, cpu in (("device", device_cpu), ("edge", edge_cpu)):
        if cpu not in allowed:
            raise CapabilityError(
                f"hardware.{tier}.cpu: core {cpu} is not one of this process's; allowed: "
                f"{', '.join(str(core) for core in sorted(allowed))}"
            )


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it printed nothing"
