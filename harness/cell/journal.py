"""The timed rounds of a profile in the making, so that a killed run goes on where it was (no TensorFlow).

One file beside the profile it will become, `<profile>.journal`: a line that says what it belongs to, then a line
for each finished round. A line is one write, synced to disk; the torn last line of a killed run is dropped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.profiling.timing import Times
from harness.results.disk import naming

#: A journal whose newest round is older than this is not gone on from: compute speed drifts by some per cent within
#: minutes (DESIGN, "Timing"), and medians over rounds that far apart would mix two speeds. Nor is one of before the
#: host was last started.
FRESH_S = 900.0

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Journal:
    """Finished rounds of one tier's profile.

    Args:
        profile: the file that the profile will be.
        fingerprint: what the profile is valid for; rounds of any other are dropped.
        now: the clock, in s since the epoch.
    """

    def __init__(self, profile: Path, fingerprint: Mapping[str, Any], now: float | None = None) -> None:
        self.path = profile.with_name(f"{profile.name}.journal")
        self._head = {"fingerprint": dict(fingerprint), "boot": _boot()}
        self._rounds = self._kept(time.time() if now is None else now)

    def rounds(self, part: str) -> list[Times]:
        """The finished rounds of one part of the profile, in the order in which they ran."""
        return [entry["times"] for entry in self._rounds if entry["part"] == part]

    @property
    def finished(self) -> int:
        """How many rounds there are to go on from."""
        return len(self._rounds)

    def append(self, part: str, times: Times) -> None:
        """Keep a finished round, on disk before this returns."""
        entry = {"part": part, "at": time.time(), "times": times}
        lines = [entry] if self._rounds else [self._head, entry]
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if self._rounds else os.O_TRUNC)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, flags, 0o644)
        try:
            with naming(self.path):
                os.write(descriptor, "".join(json.dumps(line) + "\n" for line in lines).encode())
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._rounds.append(entry)

    def remove(self) -> None:
        """The profile is whole, or is to be made from nothing."""
        self.path.unlink(missing_ok=True)
        self._rounds = []

    def _kept(self, now: float) -> list[dict[str, Any]]:
        """The rounds that can be gone on from; a torn end is cut off, so that the next line starts a line."""
        try:
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            head, *rounds = [json.loads(line) for line in whole.splitlines()]
            fresh = head == self._head and 0 <= now - rounds[-1]["at"] <= FRESH_S
            parts = [(str(entry["part"]), dict(entry["times"])) for entry in rounds]
        except (OSError, ValueError, LookupError, TypeError):
            return []
        if not fresh or not parts:
            return []
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        return rounds


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
