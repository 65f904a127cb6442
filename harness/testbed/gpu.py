"""The host's NVIDIA GPUs as their driver describes them, without TensorFlow: name, driver, clocks."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from harness.errors import SpecError

#: What is asked of nvidia-smi (its --help-query-gpu): who the GPU is, then how fast it may and does run.
_IDENTITY = ("name", "driver_version", "uuid")
_CLOCKS = ("clocks.max.sm", "clocks.max.mem", "clocks.sm", "clocks.mem", "pstate", "temperature.gpu", "power.limit")
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Gpu:
    """One GPU. Clocks as the driver prints them, in MHz; what it does not know is `[N/A]`."""

    name: str
    driver: str
    uuid: str
    clocks: dict[str, str]

    def identity(self) -> dict[str, str]:
        """What a profile belongs to: not the single board, but its kind and the driver, and the clocks that it may
        reach."""
        limits = {name: self.clocks[name] for name in ("clocks.max.sm", "clocks.max.mem", "power.limit")}
        return {"name": self.name, "driver": self.driver, **limits}

    def record(self) -> dict[str, Any]:
        """For `env.json`: as it was at that moment."""
        return {"name": self.name, "driver": self.driver, "uuid": self.uuid, "clocks": dict(self.clocks)}


def find(index: int, key: str) -> Gpu:
    """The GPU of that number.

    Args:
        key: of the spec, that asks for it.

    Raises:
        SpecError: there is none, or no driver that says so.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise SpecError(f"{key}=gpu: this host has no NVIDIA driver (no program nvidia-smi); allowed: {key}=cpu")
    query = f"--query-gpu={','.join((*_IDENTITY, *_CLOCKS))}"
    try:
        done = subprocess.run(
            [program, query, "--format=csv,noheader,nounits", f"--id={index}"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpecError(f"{key}=gpu: nvidia-smi does not answer ({error}); allowed: {key}=cpu") from error
    values = [value.strip() for value in done.stdout.strip().split(",")]
    if done.returncode != 0 or len(values) != len(_IDENTITY) + len(_CLOCKS):
        reason = " ".join((done.stdout + done.stderr).split()) or f"it ended with {done.returncode}"
        raise SpecError(
            f"{key}=gpu: there is no GPU {index} on this host: {reason}; allowed: {key}=cpu, or another gpu"
        )
    clocks = dict(zip(_CLOCKS, values[len(_IDENTITY) :], strict=True))
    name, driver, uuid = values[: len(_IDENTITY)]
    return Gpu(name, driver, uuid, clocks)
