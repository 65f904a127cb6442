"""A disk that is full or may not be written to: one line that names the folder and the cause, and nothing is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.spec import PROJECT
from tests.faults.conftest import Ready
from tests.faults.disturbances import fill_disk, on_a_disk_of_its_own, seen_by
from tests.faults.kills import left_behind
from tests.runs import Sight

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and util-linux for a disk of its own"
)


@pytest.mark.parametrize(
    ("options", "typed", "cause"),
    [
        ("size=1m", "hydra.run.dir={}", "No space left on device"),
        ("ro", "profile.dir={}", "Read-only file system"),
        ("ro", "-m seed=1,2 hydra.sweep.dir={}", "Read-only file system"),
    ],
)
def test_a_disk_that_takes_nothing_is_found_before_anything_is_begun(
    tmp_path: Path, options: str, typed: str, cause: str
) -> None:
    folder, cwd = tmp_path / "disk", tmp_path / "cwd"
    folder.mkdir()
    cwd.mkdir()
    own = typed.format(folder).split()
    command = [sys.executable, str(PROJECT / "run.py"), *own[:-1], "model=mobilenetv2", own[-1]]
    done = subprocess.run(
        [*on_a_disk_of_its_own(folder, options), *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"error: {own[-1]} cannot be written: {cause}; ")
    assert done.stdout == ""
    assert list(cwd.iterdir()) == []


@pytest.mark.slow
@pytest.mark.link
@pytest.mark.tensorflow
@pytest.mark.triton
def test_a_disk_that_runs_full_in_mid_run_is_one_line(ready: Ready) -> None:
    folder = ready.host.tmp / "disk"
    folder.mkdir()

    def measuring(sight: Sight) -> bool:
        return (seen_by(sight) / "samples.jsonl").exists()

    prefix = on_a_disk_of_its_own(folder, "size=8m")
    left, run, blow = ready.host.disturb(folder, measuring, fill_disk, prefix=prefix)
    _, said = ready.host.output()
    assert blow is not None
    assert run.returncode == 1
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {folder}")
    assert " cannot be written: No space left on device; " in line
    assert "Traceback" not in said
    assert left_behind(left) == []
    _, again = ready.host.watch(folder, None)
    assert again.returncode in (0, 3, 4), ready.host.output()[1]
