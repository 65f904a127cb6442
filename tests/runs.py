"""Starts run.py as a user would, kills it or a part of it, or does something else to it, and looks at what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.spec import PROJECT
from tests import processes

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
    cell: Sequence[str]
    runs: int = 0

    def command(self, folder: Path, *arguments: str) -> list[str]:
        own = (f"hydra.run.dir={folder}", f"profile.dir={self.profiles}")
        return [sys.executable, "run.py", *self.cell, *own, *arguments]

    def start(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
    ) -> tuple[subprocess.Popen[bytes], str]:
        """The run, and its mark.

        Args:
            arguments: of run.py, in addition.
            prefix: a command that becomes the run, before its own.
        """
        self.runs += 1
        mark = f"{os.getpid()}-{self.runs}"
        (self.tmp / "tmpdir").mkdir(exist_ok=True)
        environment = {**os.environ, processes.MARK: mark, "TMPDIR": str(self.tmp / "tmpdir")}
        with (self.tmp / "out.txt").open("wb") as out, (self.tmp / "err.txt").open("wb") as err:
            return (
                subprocess.Popen(
                    [*prefix, *self.command(folder, *arguments)],
                    cwd=PROJECT,
                    env=environment,
                    stdout=out,
                    stderr=err,
                    stdin=stdin,
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
        sight = Sight(self, folder)
        try:
            while sight.run.poll() is None and time.monotonic() < sight.deadline:
                sight.look()
                if moment is not None and moment(sight.mark, self.output()[1]):
                    time.sleep(random.uniform(0, 1))
                    sight.look()
                    break
                time.sleep(0.5)
            assert (sight.run.poll() is None) == (moment is not None), self.output()[1]
        finally:
            sight.end()
        return sight.aftermath(), sight.run

    def strike(self, folder: Path, part: str, after_s: float) -> tuple[Aftermath, subprocess.Popen[bytes], Blow | None]:
        """Start a run, kill one of its processes `after_s` after that one came up, and let the run end by itself.

        Args:
            part: stands in the command of that process; `run.py` is the run itself.

        Returns:
            As `watch`, and the blow; None where the run had ended before.
        """
        sight = Sight(self, folder)
        blow, came_up_s = None, None
        try:
            while sight.run.poll() is None and time.monotonic() < sight.deadline:
                sight.look()
                victim = next((pid for pid in sight.pids if blow is None and _is(pid, part)), None)
                if victim is not None:
                    came_up_s = came_up_s or time.monotonic()
                    time.sleep(max(0.0, came_up_s + after_s - time.monotonic()))
                    sight.look()
                    blow = sight.strike(victim)
                time.sleep(0.1)
            assert sight.run.poll() is not None, self.output()[1]
        finally:
            sight.end()
        return sight.aftermath(), sight.run, blow

    def disturb(
        self, folder: Path, when: Callable[[Sight], bool], act: Callable[[Sight], None], **how: Any
    ) -> tuple[Aftermath, subprocess.Popen[bytes], Blow | None]:
        """Start a run, do something to it once it is time, and let it end by itself.

        Args:
            when: whether it is time; asked some ten times a second.
            act: what is done then, once; it may go on for as long as the run does.
            how: as `start`.

        Returns:
            As `strike`.
        """
        sight = Sight(self, folder, **how)
        blow = None
        try:
            while sight.run.poll() is None and time.monotonic() < sight.deadline:
                sight.look()
                if blow is None and when(sight):
                    blow = sight.blow()
                    act(sight)
                time.sleep(0.1)
            assert sight.run.poll() is not None, self.output()[1]
        finally:
            sight.end()
        return sight.aftermath(), sight.run, blow


@dataclass(frozen=True)
class Blow:
    """A process of a run was killed, or something else was done to the run.

    after_s: since the run began.
    at_s: on the clock of `time.monotonic`.
    last_line: the last that the run had said until then.
    samples: measured until then.
    """

    after_s: float
    at_s: float
    last_line: str
    samples: int


def samples_of(folder: Path) -> int:
    """Requests that a run has on record."""
    path = folder / "samples.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


class Sight:
    """A run and everything that was ever seen of it.

    Attributes:
        run: its process.
        folder: of its results.
        mark: in the environment of all its processes.
        pids: of the processes that were seen.
        deadline: by which it has to have ended.
    """

    def __init__(self, host: Host, folder: Path, **how: Any) -> None:
        self._host, self.folder = host, folder
        self._interfaces, self._files = processes.interfaces(), processes.temporary_files()
        self._commands: set[str] = set()
        self._namespaces: set[str] = set()
        self.pids: set[int] = set()
        self.started_s = time.monotonic()
        self.deadline = self.started_s + _DEADLINE_S
        self.run, self.mark = host.start(folder, **how)

    def look(self) -> None:
        now = processes.marked(self.mark)
        self._commands |= {processes.command(pid) for pid in set(now) - self.pids}
        self.pids |= set(now)
        self._namespaces |= processes.network_namespaces(now)

    @property
    def said(self) -> str:
        """What the run has written to its standard error."""
        return self._host.output()[1]

    def pid_of(self, part: str) -> int | None:
        """A process that lives and has the part in its command; None where there is none."""
        return next((pid for pid in sorted(self.pids) if _is(pid, part)), None)

    def blow(self) -> Blow:
        """Where the run is by now."""
        now_s, said = time.monotonic(), self.said.replace("\r", "\n").strip().splitlines()
        return Blow(now_s - self.started_s, now_s, said[-1] if said else "", samples_of(self.folder))

    def strike(self, victim: int) -> Blow | None:
        said = self._host.output()[1].replace("\r", "\n").strip().splitlines()
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return None
        now_s = time.monotonic()
        return Blow(now_s - self.started_s, now_s, said[-1] if said else "", samples_of(self.folder))

    def end(self) -> None:
        if self.run.poll() is None:
            self.run.send_signal(signal.SIGKILL)
        self.run.wait()

    def aftermath(self) -> Aftermath:
        """Some seconds after the end."""
        deadline = time.monotonic() + 10
        while (processes.marked(self.mark) or processes.living(self._namespaces)) and time.monotonic() < deadline:
            time.sleep(0.1)
        tmp = self._host.tmp / "tmpdir"
        return Aftermath(
            self.folder,
            sorted(self._commands),
            self._namespaces,
            [processes.command(pid) for pid in processes.marked(self.mark)],
            processes.living(self._namespaces),
            processes.interfaces() - self._interfaces,
            processes.temporary_files() - self._files | {str(path) for path in tmp.rglob("*")},
        )


def _is(pid: int, part: str) -> bool:
    """Whether a process is the part itself, and not who starts it inside the sandbox."""
    command = processes.command(pid)
    return part in command and "netem.enter" not in command
