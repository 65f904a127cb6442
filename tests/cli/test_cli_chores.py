"""The modes that run no cell: they end at once, make no folder that they do not need, and say what they did."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.spec import PROJECT
from tests import forks
from tests.cli import fake_cell
from tests.report.recorded_cells import all_experiments


def run(folder: Path, *arguments: str, program: str = "run.py") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "HARNESS_LOCK_DIR": str(folder)}
    own = f"profile.dir={folder / 'profiles'}"
    return forks.call(PROJECT / program, folder, *arguments, own, environment=environment)


def sweep(folder: Path) -> Path:
    done = run(folder, "-m", "bandwidth=10,11", f"hydra.sweep.dir={folder / 'sweep'}", program=str(fake_cell.__file__))
    assert done.returncode == 3, done.stderr  # the second cell's gate failed, as the fake has it
    return folder / "sweep"


def test_a_plan_starts_nothing_and_makes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "mode=plan", "bandwidth=30,60", "model=resnet50,vgg16", "hydra.sweep.dir=planned")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 4 + 1
    assert sorted(line.split()[0] for line in lines[1:5]) == ["0", "1", "2", "3"]
    (first,) = [line for line in lines[1:5] if line.split()[0] == "0"]
    assert first.split()[1:4] == ["resnet50,", "iiot,", "30"]
    assert lines[-1].startswith("4 cells")
    assert max(map(len, lines)) <= 100
    assert list(tmp_path.iterdir()) == []


def test_runs_are_gathered_wherever_they_lie(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    done = run(tmp_path, "mode=report", f"from=[{folder / '0'},{folder}]", f"hydra.run.dir={tmp_path / 'all'}")
    assert done.returncode == 0, done.stderr
    assert "2 cells gathered" in done.stdout
    summary = json.loads((tmp_path / "all" / "summary.json").read_text())
    assert [cell["name"] for cell in summary["cells"]] == ["../sweep/0", "../sweep/1"]
    assert {"results.csv", "report.html", "junit.xml", "summary.json"} <= {p.name for p in (tmp_path / "all").iterdir()}


def test_an_experiment_is_redrawn_from_what_its_cells_left(tmp_path: Path) -> None:
    all_experiments(tmp_path / "cells")
    source = f"from={tmp_path / 'cells'}"
    done = run(tmp_path, "mode=report", source, "experiment=fig9", f"hydra.sweep.dir={tmp_path / 'drawn'}")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"fig9.svg", "fig9.png", "fig9.csv"}


def test_the_claims_are_told_and_written(tmp_path: Path) -> None:
    all_experiments(tmp_path / "cells")
    done = run(tmp_path, "mode=repro", f"from={tmp_path / 'cells'}", f"hydra.run.dir={tmp_path / 'repro'}")
    assert done.returncode == 0, done.stderr
    assert "Layer 51" in done.stdout
    assert {path.name for path in (tmp_path / "repro").iterdir()} == {"claims.csv", "claims.md"}


def test_clean_takes_what_is_ours_and_leaves_the_rest(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    done = run(tmp_path, "mode=clean", f"from={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert str(folder) in done.stdout
    assert not folder.exists()
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mode=report"], "needs from=FOLDER"),
        (["mode=report", "from=/nowhere/at/all"], "no such folder"),
        (["mode=report", "from=conf"], "no cell in it"),
        (["mode=clean", "from=/nowhere/at/all"], "no such folder"),
        (["-m", "mode=doctor", "bandwidth=30,60"], "without -m"),
        (["-m", "mode=plan,validate"], "give it alone"),
        (["mode=report", "from=3"], "error: from=3 is not allowed"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert says in line
    assert list(tmp_path.iterdir()) == []
