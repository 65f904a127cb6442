"""A profile in the making survives SIGKILL: finished rounds are kept, torn ones are not, stale ones are dropped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cell import journal as journals_on_disk
from harness.cell.journal import FRESH_S, Journal
from harness.spec import PROJECT
from tests.cell.test_cell_profiler import FormulaAgent, journals, profiled

ROUND = {"block/0/1": {"device": 1.5}}


def journal(folder: Path, fingerprint: Any = "a", now: float | None = None) -> Journal:
    return Journal(folder / "profile.json", {"model": fingerprint}, now)


def kept(folder: Path, count: int = 3) -> Path:
    own = journal(folder)
    for number in range(count):
        own.append("blocks" if number % 2 == 0 else "eager", {"block/0/1": {"device": float(number)}})
    return own.path


def test_rounds_come_back_by_part_and_in_order(tmp_path: Path) -> None:
    kept(tmp_path, 4)
    again = journal(tmp_path)
    assert [times["block/0/1"]["device"] for times in again.rounds("blocks")] == [0.0, 2.0]
    assert [times["block/0/1"]["device"] for times in again.rounds("eager")] == [1.0, 3.0]
    again.remove()
    assert journal(tmp_path).rounds("blocks") == []
    assert list(tmp_path.iterdir()) == []


def test_rounds_of_something_else_are_dropped(tmp_path: Path) -> None:
    kept(tmp_path)
    assert journal(tmp_path, "b").rounds("blocks") == []
    other = journal(tmp_path, "b")
    other.append("blocks", ROUND)
    assert journal(tmp_path, "b").rounds("blocks") == [ROUND]
    assert journal(tmp_path).rounds("blocks") == []


def test_rounds_of_another_boot_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path)
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(journals_on_disk, "_BOOT", boot)
    assert journal(tmp_path).rounds("blocks") == []


@pytest.mark.parametrize(("age_s", "found"), [(0.0, 2), (FRESH_S - 60, 2), (FRESH_S + 60, 0), (-3600.0, 0)])
def test_stale_rounds_are_dropped(tmp_path: Path, age_s: float, found: int) -> None:
    kept(tmp_path)
    assert len(journal(tmp_path, now=time.time() + age_s).rounds("blocks")) == found


@settings(deadline=None)
@given(st.integers(0, 2000), st.binary(max_size=30))
def test_a_torn_or_damaged_end_costs_no_whole_round(
    tmp_path_factory: pytest.TempPathFactory, cut: int, rubbish: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    path = kept(folder)
    content = path.read_bytes()
    whole = content[: min(cut, len(content))]
    path.write_bytes(whole + rubbish.replace(b"\n", b""))
    lines = max(0, whole.count(b"\n") - 1)
    again = journal(folder)
    assert len(again.rounds("blocks")) + len(again.rounds("eager")) == lines
    again.append("blocks", ROUND)  # goes on, on a line of its own
    assert journal(folder).rounds("blocks")[-1] == ROUND
    assert len(journal(folder).rounds("blocks")) + len(journal(folder).rounds("eager")) == lines + 1


def test_a_restarted_profile_goes_on_at_the_next_round(tmp_path: Path) -> None:
    whole = profiled(FormulaAgent(), tmp_path / "whole")

    class Dies(FormulaAgent):
        def _answer(self, tier: str, verb: str, arguments: dict[str, Any]) -> Any:
            if verb == "time" and len(self.rounds("edge", "compiled")) == 5 and tier == "device":
                raise KeyboardInterrupt
            return super()._answer(tier, verb, arguments)

    first, second = Dies(), FormulaAgent()
    with pytest.raises(KeyboardInterrupt):
        profiled(first, tmp_path / "killed")
    done = {tier: len(own.rounds("blocks")) for tier, own in journals(tmp_path / "killed").items()}
    assert 0 < sum(done.values()) < 10
    assert profiled(second, tmp_path / "killed") == whole
    for tier, rounds in done.items():  # 2 to warm up again, then only what was missing
        assert len(second.rounds(tier, "compiled")) == 2 + 5 - rounds


def test_a_whole_journal_needs_no_tier_at_all(tmp_path: Path) -> None:
    whole = profiled(FormulaAgent(), tmp_path)
    agent = FormulaAgent()
    assert profiled(agent, tmp_path) == whole
    assert not agent.prepared
    assert not agent.timed


SCRIPT = """
import sys, time
from pathlib import Path
from tests.cell.test_cell_profiler import FormulaAgent, profiled

class Slow(FormulaAgent):
    def _answer(self, tier, verb, arguments):
        time.sleep(0.02)
        return super()._answer(tier, verb, arguments)

profiled(Slow(), Path(sys.argv[1]), rounds=12)
"""


@pytest.mark.parametrize("rounds_before", [1, 5, 11])
def test_sigkill_loses_no_finished_round(tmp_path: Path, rounds_before: int) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    path = tmp_path / "device.json.journal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (path.exists() and path.read_bytes().count(b"\n") > rounds_before):
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    lines = path.read_bytes().split(b"\n")[1:-1]
    assert all("times" in json.loads(line) for line in lines)
    done = {tier: len(own.rounds("blocks")) for tier, own in journals(tmp_path).items()}
    assert min(done.values()) >= rounds_before - 1
    agent = FormulaAgent()
    assert profiled(agent, tmp_path, rounds=12) == profiled(FormulaAgent(), tmp_path / "whole", rounds=12)
    for tier, rounds in done.items():
        assert len(agent.rounds(tier, "compiled")) == (2 + 12 - rounds if rounds < 12 else 0)
