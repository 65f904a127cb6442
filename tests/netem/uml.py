"""Boots User-Mode Linux: Linux 6.1 as a process, with ``sch_netem``, the host's files and this project in it.

It is held to one core, real-time: its kernel and each of its programs are processes of the host that take turns by
ptrace, and a turn to another core costs a wake-up there. A system call inside, reading the clock among them, takes
15 us on one core and 51 us on two; only on one does it carry 100 Mbit/s (89 on two). And what the host takes from it
for longer than the token bucket lasts (15 kB: 2 ms at 60 Mbit/s) is lost rate: on a busy host 60 Mbit/s came out as 38
to 58, even at the best nice value; real-time, as 60.0.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
MODULES = Path("/usr/lib/uml/modules")
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={project}
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/shm
for module in drivers/net/veth drivers/net/ifb net/sched/sch_netem net/sched/sch_htb net/sched/sch_ingress \
    net/sched/cls_u32 net/sched/act_mirred net/sched/act_police; do
    insmod {modules}/$(uname -r)/kernel/$module.ko
done
cd {project}
{python} {program} {result} 2>&1
halt -f
"""


def _first() -> list[str]:
    """A command's prefix that has it run before what else is on its core, if this host permits it."""
    core = str(max(os.sched_getaffinity(0)))
    permitted = subprocess.run(["chrt", "-f", "1", "true"], capture_output=True, check=False).returncode == 0
    return ["taskset", "-c", core, *(["chrt", "-f", "1"] if permitted else ["nice", "-n", "-15"])]


class NoUml(Exception):
    """It does not boot here; the text says why."""


def missing() -> str | None:
    """Why User-Mode Linux cannot run here; None where it can."""
    if os.geteuid() != 0:
        return "User-Mode Linux is started as root, for the host's files to be its own"
    if not (shutil.which("linux.uml") and shutil.which("insmod") and MODULES.is_dir()):
        return "the Debian packages user-mode-linux and kmod are not installed (tests/netem/install_uml.sh)"
    return None


def results_of(program: Path, folder: Path, *, timeout_s: float) -> dict[str, Any]:
    """Boot, run a program of this project there and halt; what it wrote, as JSON, into the file it was told.

    Args:
        program: gets the path of its result file.
        folder: of this boot's own; the console is logged there.
        timeout_s: for all of it.

    Raises:
        NoUml: it does not boot here.
        AssertionError: it booted and the program left nothing.
    """
    result, init, log = folder / "result.json", folder / "init.sh", folder / "console.log"
    init.write_text(
        INIT.format(project=PROJECT, modules=MODULES, python=sys.executable, program=program, result=result)
    )
    init.chmod(0o755)
    kernel = ["linux.uml", "mem=768M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"]
    kernel += ["con=null", "con0=fd:0,fd:1", "quiet"]
    with log.open("wb") as console:
        process = subprocess.Popen(
            [*_first(), *kernel],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "TMPDIR": "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(folder)},
            cwd=folder,
            start_new_session=True,
        )
        try:
            process.wait(timeout_s)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
    text = log.read_text(errors="replace")
    if not result.exists():
        if "Kernel panic" in text or "kernel" not in text.lower():
            raise NoUml(f"User-Mode Linux does not boot here: {text.strip().splitlines()[-1:]}")
        raise AssertionError(text)
    found: dict[str, Any] = json.loads(result.read_text())
    return found
