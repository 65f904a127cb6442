"""A real profile that is killed half-way goes on where it was: no timed round is made twice."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from harness.prediction.profile_io import load_tier
from tests.runs import Host

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton, pytest.mark.slow]

#: Enough to be killed among them, and a number that no other run uses.
ROUNDS = 41


class LongProfile(Host):
    """Runs that only profile, and take some seconds for it."""

    def command(self, folder: Path, *arguments: str) -> list[str]:
        return super().command(folder, "mode=profile", f"profile.rounds={ROUNDS}", *arguments)


def rounds(profiles: Path) -> int:
    """Finished rounds in the journals of both tiers; each journal begins with a line of its own."""
    return sum(path.read_bytes().count(b"\n") - 1 for path in profiles.glob("*.journal"))


def test_sigkill_costs_a_profile_no_finished_round(host: Host, tmp_path: Path) -> None:
    own = LongProfile(tmp_path, tmp_path / "profiles")
    own.watch(tmp_path / "killed", lambda _mark, _errors: rounds(own.profiles) >= ROUNDS)
    finished = rounds(own.profiles)
    assert finished >= ROUNDS
    assert not list(own.profiles.glob("*-device-*.json"))
    started = time.time()
    _, run = own.watch(tmp_path / "again", None)
    output, errors = own.output()
    assert run.returncode == 0, errors
    line = re.search(r"going on after (\d+) finished rounds", errors)
    assert line is not None
    assert int(line[1]) in (finished, finished - 1)  # a torn last line is no round
    assert rounds(own.profiles) == 0
    for tier in ("device", "edge"):
        (path,) = own.profiles.glob(f"*-{tier}-*.json")
        assert path.stat().st_mtime > started
        assert load_tier(path).fingerprint["rounds"][1] == ROUNDS
    assert "mobilenetv2" in output
