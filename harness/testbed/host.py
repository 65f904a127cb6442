"""What this host is and how busy it is: the part of `env.json` that needs no testbed (standard library)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

#: Packages whose version can change a measured or predicted time.
PACKAGES = ("tensorflow", "keras", "numpy", "grpcio", "tritonclient", "nvidia-pytriton", "pyroute2", "hydra-core")

_ROOT = Path(__file__).parents[2]
#: In a copy of the code: the git state of the checkout when it was copied.
COPIED_FROM = "git.json"


@cache
def cpu_model() -> str:
    """The processor's name as the kernel has it."""
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or platform.machine()


def identity() -> str:
    """What a profile belongs to: host name, processor, cores, kernel."""
    return f"{platform.node()}, {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}"


@cache
def version(package: str) -> str:
    """Installed version of a package without importing it; empty where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def describe() -> dict[str, Any]:
    """Host, kernel, processor, governor, versions, git state."""
    return {
        "host": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or "not reported",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "git": describe_git(),
    }


@contextmanager
def awake() -> Iterator[str | None]:
    """Keep the cores out of sleep states while entered; gives None, or why this host does not let us.

    A core that slept through the wait of an emulated board computes the next slice up to 30 % slower, now and
    then (measured in a virtual machine). The kernel's PM QoS interface (Documentation/power/pm_qos_interface.rst)
    takes a wake-up latency for as long as the file is open, so a killed process leaves nothing behind. A guest without
    a cpuidle driver does not heed it: its idle cores halt, and the hypervisor wakes them. (Keeping them busy with a
    process of lowest priority there made compute faster but not steadier: it then came in two speeds, 1.5 times apart.)
    """
    try:
        descriptor = os.open("/dev/cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield "/dev/cpu_dma_latency could not be opened"
        return
    try:
        os.write(descriptor, (0).to_bytes(4, sys.byteorder))
        driver = _read(Path("/sys/devices/system/cpu/cpuidle/current_driver"))
        yield "the kernel has no cpuidle driver, and its hypervisor decides" if driver == "none" else None
    finally:
        os.close(descriptor)


def load() -> dict[str, Any]:
    """How busy the host is: load average and the ticks that its hypervisor gave away (`steal`)."""
    fields = _read(Path("/proc/stat")).splitlines()[0].split()[1:]
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return {
        "load_average": list(os.getloadavg()),
        "cpu_ticks": {name: int(value) for name, value in zip(names, fields, strict=False)},
    }


def describe_git() -> dict[str, Any]:
    """Commit of the code that this process runs from, and whether it differed from it."""
    copied = _ROOT / COPIED_FROM
    if copied.exists():  # a sweep runs from a copy: what the checkout is by now says nothing about it
        return dict(json.loads(copied.read_text(encoding="utf-8")))
    return git_state()


def git_state() -> dict[str, Any]:
    """Commit of the checkout, and whether files differ from it."""
    sha = _git("rev-parse", "HEAD")
    return {"sha": sha or None, "dirty": bool(_git("status", "--porcelain")) if sha else None}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
