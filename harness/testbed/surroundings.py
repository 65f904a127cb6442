"""What is around a tier's process on this host: its environment, its core, what it left in its log."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

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


def require_core(tier: str, core: int, allowed: Collection[int], whose: str = "this process's") -> None:
    """Raise CapabilityError unless a tier's core is one that its process may run on.

    Args:
        tier: `device` or `edge`.
        allowed: the cores that are.
        whose: they are, for the message.
    """
    if core not in allowed:
        raise CapabilityError(
            f"hardware.{tier}.cpu: core {core} is not one of {whose}; allowed: {', '.join(map(str, sorted(allowed)))}"
        )


def last_line(said: bytes) -> str:
    """The last line of what a program said, without control characters."""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-1].split())[:300] if lines else "it printed nothing"
