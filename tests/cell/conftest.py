"""One story that the tests of real cells share, told once a session: a run is killed while it starts, another
while it profiles, a third while it measures, and then a fourth, in the third's folder, is left to end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.spec import PROJECT
from netem import CapabilityError, choose_backend
from tests import processes

#: Small, but everything that the main job has: iiot hardware, every phase, every file.
CELL = (
    "model=mobilenetv2",
    "hardware.device.slowdown=4",
    "measure.samples=3",
    "measure.spread=12",
    "measure.warmup=2",
    "profile.rounds=3",
    "profile.warmup=1",
)
_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Aftermath:
    """What a killed run had while it ran, and what was left of it some seconds later."""

    folder: Path
    processes_before: list[str]
    namespaces_before: set[str]
    processes_after: list[str]
    namespaces_after: set[str]
    interfaces: set[str]
    files: set[str]


@dataclass(frozen=True)
class Finished:
    """A run that ended by itself."""

    folder: Path
    profiles: Path
    code: int
    output: str
    errors: str
    left: Aftermath


@dataclass
class Host:
    """Starts runs of run.py as a user would, each marked, with a temporary folder of its own."""

    tmp: Path
    profiles: Path
    runs: int = 0

    def command(self, folder: Path, *arguments: str) -> list[str]:
        own = (f"hydra.run.dir={folder}", f"profile.dir={self.profiles}")
        return [sys.executable, "run.py", *CELL, *own, *arguments]

    def start(self, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
        self.runs += 1
        mark = f"{os.getpid()}-{self.runs}"
        (self.tmp / "tmpdir").mkdir(exist_ok=True)
        environment = {**os.environ, processes.MARK: mark, "TMPDIR": str(self.tmp / "tmpdir")}
        with (self.tmp / "out.txt").open("wb") as out, (self.tmp / "err.txt").open("wb") as err:
            return (
                subprocess.Popen(
                    self.command(folder), cwd=PROJECT, env=environment, stdout=out, stderr=err, stdin=subprocess.DEVNULL
                ),
                mark,
            )

    def output(self) -> tuple[str, str]:
        out, err = ((self.tmp / name).read_text(errors="replace") for name in ("out.txt", "err.txt"))
        return out, err

    def watch(
        self, folder: Path, moment: Callable[[str, str], bool] | None
    ) -> tuple[Aftermath, subprocess.Popen[bytes]]:
        """Start a run, kill it a random part of a second after `moment` (None: let it end), look at what is left.

        `moment` is asked with the run's mark and what it wrote to its standard error.
        """
        interfaces, files = processes.interfaces(), processes.temporary_files()
        run, mark = self.start(folder)
        pids: set[int] = set()
        namespaces: set[str] = set()
        commands: set[str] = set()
        deadline = time.monotonic() + _DEADLINE_S
        try:
            while run.poll() is None and time.monotonic() < deadline:
                now = processes.marked(mark)
                commands |= {processes.command(pid) for pid in set(now) - pids}
                pids |= set(now)
                namespaces |= processes.network_namespaces(now)
                if moment is not None and moment(mark, self.output()[1]):
                    time.sleep(random.uniform(0, 1))
                    namespaces |= processes.network_namespaces(processes.marked(mark))
                    break
                time.sleep(0.5)
            assert (run.poll() is None) == (moment is not None), self.output()[1]
        finally:
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
            run.wait()
        deadline = time.monotonic() + 10
        while (processes.marked(mark) or processes.living(namespaces)) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = Aftermath(
            folder,
            sorted(commands),
            namespaces,
            [processes.command(pid) for pid in processes.marked(mark)],
            processes.living(namespaces),
            processes.interfaces() - interfaces,
            processes.temporary_files() - files | {str(path) for path in (self.tmp / "tmpdir").rglob("*")},
        )
        return left, run


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    tmp = tmp_path_factory.mktemp("cells")
    return Host(tmp, tmp / "profiles")


@pytest.fixture(scope="session")
def killed(host: Host) -> dict[str, Aftermath]:
    """By the phase in which a run was killed, what it left."""

    def served(mark: str, _errors: str) -> bool:
        return any("bin/tritonserver " in processes.command(pid) for pid in processes.marked(mark))

    def profiling(_mark: str, errors: str) -> bool:
        return "compiling blocks on both tiers" in errors

    def measuring(_mark: str, _errors: str) -> bool:
        return (host.tmp / "cell" / "samples.jsonl").exists()

    return {
        "starting": host.watch(host.tmp / "killed_while_starting", served)[0],
        "profiling": host.watch(host.tmp / "killed_while_profiling", profiling)[0],
        "measuring": host.watch(host.tmp / "cell", measuring)[0],
    }


@pytest.fixture(scope="session")
def samples_of_the_killed(killed: dict[str, Aftermath]) -> str:
    """`samples.jsonl` as the run that was killed while it measured left it."""
    return (killed["measuring"].folder / "samples.jsonl").read_text()


@pytest.fixture(scope="session")
def cell(host: Host, samples_of_the_killed: str) -> Finished:
    """A whole cell, in the folder of the killed one."""
    left, run = host.watch(host.tmp / "cell", None)
    return Finished(host.tmp / "cell", host.profiles, run.returncode, *host.output(), left)
