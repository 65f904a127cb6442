"""Programs at the other end of a pipe that live as long as they are told to (standard library).

Each reads lines on its standard input and ends itself, and what it keeps, once none has come for its lease: so nothing
there outlives this process, however it ends, nor the network between.
"""

from __future__ import annotations

import json
import select
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError
from harness.testbed.surroundings import last_line

_END_S = 20.0


class Tenant:
    """One such program.

    Args:
        command: what runs it.
        log: gets what it complains about.
        failure: makes of an ended program's code and last words an error.
    """

    def __init__(self, command: Sequence[str], log: Path, failure: Callable[[int, bytes], HarnessError]) -> None:
        self._log = log
        self._failure = failure
        with log.open("wb") as complaints:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True
            )
        self._lock = threading.Lock()
        self._read = b""

    def renew(self) -> None:
        """One more lease; nothing where the program has ended."""
        with suppress(OSError):
            self._write(b"\n")

    def ask(self, record: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a line and wait for its answer. Raises HarnessError where none comes."""
        try:
            self._write(json.dumps(record).encode() + b"\n")
        except OSError:
            self.check_alive()
            raise self._failure(self.process.wait(), b"it does not listen any more") from None
        return self.answer(timeout_s)

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """The next record that it prints. Raises HarnessError where it ends before, or is silent for so long.

        What a remote shell prints at its start, as some do, is no record and passed over.
        """
        source = self._pipe(self.process.stdout)
        deadline = time.monotonic() + timeout_s
        while not (line := self._next_line()).startswith(b"{"):
            if line:
                continue
            if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._failure(0, f"it said nothing for {timeout_s:g} s; {self._last_line()}".encode())
            data = source.read1(65_536)  # type: ignore[attr-defined]
            if not data:
                raise self._failure(self.process.wait(), self._complaints())
            self._read += data
        record: dict[str, Any] = json.loads(line)
        return record

    def _next_line(self) -> bytes:
        """With its end; nothing where it has not come whole."""
        line, end, rest = self._read.partition(b"\n")
        if not end:
            return b""
        self._read = rest
        return line + end

    def check_alive(self) -> None:
        """Raise the error that its end means, if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise self._failure(code, self._complaints())

    def end(self) -> int:
        """Take its input away and wait; its code. One that does not end by itself is killed."""
        with suppress(OSError), self._lock:
            self._pipe(self.process.stdin).close()
        try:
            return self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _write(self, line: bytes) -> None:
        with self._lock:
            target = self._pipe(self.process.stdin)
            if target.closed:
                return
            target.write(line)
            target.flush()

    def _pipe(self, pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise ValueError("a tenant is started with both of its pipes")
        return pipe

    def _complaints(self) -> bytes:
        return self._log.read_bytes()

    def _last_line(self) -> str:
        return last_line(self._complaints())


class Renewal:
    """Renews leases from a thread of its own, while entered.

    Args:
        every_s: time between two renewals.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._tenants: list[Tenant] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Renewal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def add(self, tenant: Tenant) -> None:
        """Renew this one too, from now on."""
        self._tenants.append(tenant)

    def _renew(self) -> None:
        while not self._ended.wait(self._every_s):
            for tenant in self._tenants:
                tenant.renew()
