"""What mode=doctor finds on the host that it runs on, and that it changes nothing there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.testbed import doctor, lock

pytestmark = pytest.mark.link


def test_everything_is_looked_at_and_nothing_is_changed() -> None:
    allowed = os.sched_getaffinity(0)
    found = doctor.examine()
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    assert {"link: sandbox", "link: netem", "link: relay", "edge server", "cores", "load", "memory", "disk"} <= set(
        names
    )
    assert {f"core {core}" for core in sorted(allowed)[:2]} <= set(names)
    assert all(each.detail for each in found)
    assert all(each.remedy for each in found if each.state == "note")
    assert os.sched_getaffinity(0) == allowed


def test_another_measuring_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lock.FOLDER_VARIABLE, str(tmp_path))
    with lock.measuring():
        finding = doctor._another_run()
    assert finding.state == "note"
    assert f"process {os.getpid()}" in finding.detail
    assert doctor._another_run().state == "ok"
