"""What this host can measure, what disturbs it, and what to do about it (`mode=doctor`): found by trying."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from harness.errors import CapabilityError
from harness.testbed import host, lock
from netem import capabilities

State = Literal["ok", "note", "missing"]

#: A tier each; the relay lives on the device's.
_CORES = 2
#: For a model of the zoo's largest on both tiers (DESIGN: 2 to 2.5 GB a process for 54 slices).
_MEMORY_BYTES = 8 * 2**30
_DISK_BYTES = 2**30
#: Work that takes some 5 ms, so that a turn of the kernel's clock does not show.
_LOOP = 100_000
_IN_A_ROW, _AFTER_PAUSE, _PAUSE_S = 60, 12, 0.1
#: What a core may waver, and what it may be slower after a pause, before it is worth a note: shares.
_STEADY, _AWAKE = 0.05, 0.15
_WATCHED_S = 0.5
#: Without these nothing is measured. `netem` has a stand-in, and `cubic` and the others only change what is measured.
_NEEDED = ("sandbox", "relay")
_REMEDIES = {
    "sandbox": "run as root, or let users make namespaces (sysctl kernel.unprivileged_userns_clone=1)",
    "netem": "nothing: the relay stands in, and every result names it",
    "real-time": "run as root, or give CAP_SYS_NICE",
    "cubic": "load tcp_cubic, or ask for another: link.tcp.congestion_control=reno",
}


@dataclass(frozen=True)
class Finding:
    """One thing about the host.

    state: `ok`; `note`, a measurement is possible but disturbed; `missing`, it is not.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """All findings, in some four seconds; nothing is left behind."""
    cores = sorted(os.sched_getaffinity(0))
    found = [*_link(), _server(), _cores(cores), _another_run(), _load(), _sleep(), _governor()]
    return [*found, *(_steadiness(core) for core in cores[:_CORES]), _memory(), _disk()]


def _link() -> Iterator[Finding]:
    for each in capabilities.report():
        state: State = "ok" if each.available else "missing" if each.name in _NEEDED else "note"
        remedy = "" if each.available else _REMEDIES.get(each.name, "")
        yield Finding(f"link: {each.name}", state, each.detail, remedy)


def _server() -> Finding:
    version = host.version("nvidia-pytriton")
    if not version:
        return Finding("edge server", "missing", "the wheel that holds tritonserver is not installed", "make venv")
    return Finding("edge server", "ok", f"tritonserver from nvidia-pytriton {version}")


def _cores(cores: Sequence[int]) -> Finding:
    detail = f"{len(cores)} may be used: {', '.join(map(str, cores))}; {host.cpu_model()}"
    if len(cores) < _CORES:
        return Finding("cores", "note", detail, "two are needed, one a tier: both tiers on one core time each other")
    return Finding("cores", "ok", detail)


def _another_run() -> Finding:
    try:
        with lock.measuring():
            return Finding("other runs", "ok", "none measures on this host")
    except CapabilityError as error:
        return Finding("other runs", "note", str(error), "wait until it has ended")


def _load() -> Finding:
    """How busy the host is just now, this process asleep, and what its hypervisor takes."""
    before = host.load()["cpu_ticks"]
    time.sleep(_WATCHED_S)
    after = host.load()["cpu_ticks"]
    passed = {name: after[name] - before[name] for name in after}
    whole = sum(passed.values()) or 1
    busy, stolen = 1 - (passed["idle"] + passed["iowait"]) / whole, passed["steal"] / whole
    detail = f"{busy:.0%} busy, {stolen:.0%} stolen by the hypervisor; load average {os.getloadavg()[0]:.2f}"
    if busy > _STEADY or stolen > _STEADY:
        return Finding("load", "note", detail, "end what else runs here, or expect gates that cannot decide")
    return Finding("load", "ok", detail)


def _sleep() -> Finding:
    with host.awake() as asleep_because:
        if asleep_because:
            return Finding("sleep states", "note", asleep_because, "as root on bare metal: none; in a guest: idle=poll")
    return Finding("sleep states", "ok", "kept out of by /dev/cpu_dma_latency while a cell measures")


def _governor() -> Finding:
    governor = host.describe()["governor"]
    if governor in ("performance", "not reported"):
        return Finding("clock", "ok", f"governor: {governor}")
    return Finding("clock", "note", f"governor: {governor}", "cpupower frequency-set -g performance")


def _steadiness(core: int) -> Finding:
    """How much the time of the same work wavers on one core, in a row and after a request's idleness."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
        in_a_row = sorted(_timed_loop() for _ in range(_IN_A_ROW))
        rested = []
        for _ in range(_AFTER_PAUSE):
            time.sleep(_PAUSE_S)
            rested.append(_timed_loop())
    finally:
        os.sched_setaffinity(0, allowed)
    typical = median(in_a_row)
    wavers = in_a_row[int(0.95 * len(in_a_row))] / typical - 1
    slower = median(rested) / typical - 1
    detail = f"equal work wavers by {wavers:.0%} (p95), and takes {slower:+.0%} after {1e3 * _PAUSE_S:g} ms of idleness"
    if wavers > _STEADY:
        return Finding(f"core {core}", "note", detail, "measure.samples=20, or a quieter hour")
    if slower > _AWAKE:
        return Finding(f"core {core}", "note", detail, "none: profiles keep a request's pauses; forecasts may drift")
    return Finding(f"core {core}", "ok", detail)


def _timed_loop() -> float:
    started = time.perf_counter()
    total = 0
    for number in range(_LOOP):
        total += number
    return time.perf_counter() - started


def _memory() -> Finding:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
    free = 1024 * int(fields["MemAvailable"].split()[0])
    detail = f"{free / 2**30:.1f} GiB free"
    if free < _MEMORY_BYTES:
        return Finding("memory", "note", detail, "measure.spread=8 keeps fewer heads and tails in memory")
    return Finding("memory", "ok", detail)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / 2**30:.0f} GiB free"
    return Finding("disk", "ok" if free > _DISK_BYTES else "note", detail, "" if free > _DISK_BYTES else "mode=clean")
