"""Sweeps that survive: what is edited meanwhile, Ctrl-C, SIGKILL, a second start. The cells do nothing."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results import attempts, cleaning
from harness.results.cells import find_cells
from harness.spec import PROJECT
from harness.sweeps.freezing import named
from harness.sweeps.planning import sequence
from harness.sweeps.progress import left
from tests.cli.test_cli_run import FAKE, call, calls, status

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}


def record(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "sweep.json").read_text())
    assert isinstance(found, dict)
    return found


def start(folder: Path, *arguments: str, script: Path = FAKE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), "-m", *arguments, "hydra.sweep.dir=sweep"],
        cwd=folder,
        env={**ENVIRONMENT, "FAKE_CELL_SECONDS": "0.2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_calls(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "calls.txt").exists() and len(calls(folder)) >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"{count} cells did not begin")


def test_the_order_is_random_by_a_recorded_seed(tmp_path: Path) -> None:
    rates = [10.0 + 0.1 * place for place in range(4)]
    typed = f"bandwidth={','.join(f'{rate:g}' for rate in rates)}"
    assert call(FAKE, tmp_path, "-m", typed, "hydra.sweep.dir=sweep", "hydra.launcher.seed=3").returncode == 0
    found = record(tmp_path / "sweep")
    assert (found["order"], found["seed"]) == ("random", 3)
    assert found["sequence"] == list(sequence(4, "random", 3))
    assert calls(tmp_path) == [f"{rates[number]:g} 0" for number in found["sequence"]]
    assert [cell["spec"]["bandwidth"] for cell in found["cells"]] == pytest.approx(rates)


@pytest.mark.parametrize("sweep", [True, False])
def test_a_folder_belongs_to_one_run_at_a_time(tmp_path: Path, sweep: bool) -> None:
    """The second would remove the files of the first's cells as leftovers of its own."""
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    typed = [*(["-m"] if sweep else []), f"bandwidth={'10,10.1,10.2' if sweep else '10'}", f"{key}=out"]
    first = subprocess.Popen(
        [sys.executable, str(FAKE), *typed], cwd=tmp_path, env={**ENVIRONMENT, "FAKE_CELL_SECONDS": "4"}
    )
    try:
        wait_for_calls(tmp_path, 1)
        began = calls(tmp_path)
        second = call(FAKE, tmp_path, *typed)
        assert second.returncode == 2, second.stderr
        (line,) = second.stderr.splitlines()
        assert f"{key}=out" in line
        assert f"process {first.pid}" in line
        assert calls(tmp_path)[: len(began)] == began
        assert first.wait(60) == 0
    finally:
        first.kill()
    assert len(calls(tmp_path)) == (3 if sweep else 1)
    assert call(FAKE, tmp_path, *typed).returncode == 0, "it is free again"


@given(st.integers(0, 200), st.integers(0, 2**32))
def test_a_random_order_has_every_cell_once(count: int, seed: int) -> None:
    assert sorted(sequence(count, "random", seed)) == list(range(count))
    assert sequence(count, "random", seed) == sequence(count, "random", seed)


def test_what_is_edited_in_mid_sweep_changes_no_later_cell(tmp_path: Path) -> None:
    """A checkout of its own, whose configuration and code are spoilt once the first cell has begun."""
    checkout = tmp_path / "checkout"
    for part in ("conf", "harness", "netem", "hydra_plugins", "tests/cli"):
        shutil.copytree(PROJECT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("run.py", "tests/cli/fake_cell.py"):
        shutil.copy(PROJECT / part, checkout / part)
    run = subprocess.Popen(
        [sys.executable, str(checkout / "tests/cli/fake_cell.py"), "-m", "seed=1,2,3", "hydra.sweep.dir=sweep"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(checkout), "FAKE_CELL_SECONDS": "0.5"},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_calls(tmp_path, 1)
    (checkout / "conf" / "config.yaml").write_text("nothing: [")
    (checkout / "harness" / "cell" / "planning.py").write_text("syntax error")
    (checkout / "harness" / "report" / "sweep.py").write_text("syntax error")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert {status(tmp_path / "sweep" / str(number))["status"] for number in range(3)} == {"ok"}
    assert (tmp_path / "sweep" / "report.html").exists()


def test_another_sweep_is_refused_in_the_folder_of_one(tmp_path: Path) -> None:
    assert call(FAKE, tmp_path, "-m", "bandwidth=10,13", "hydra.sweep.dir=sweep").returncode == 0
    done = call(FAKE, tmp_path, "-m", "bandwidth=10,14", "hydra.sweep.dir=sweep")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "holds another sweep, of 2 cells (bandwidth=10; bandwidth=13)" in line
    assert len(calls(tmp_path)) == 2


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("hydra.launcher.order=upwards", "allowed: random, given"),
        ("hydra.launcher.seed=high", "a whole number"),
        ("hydra.sweep.subdir=all", "one folder, all"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path, argument: str, says: str) -> None:
    done = call(FAKE, tmp_path, "-m", "bandwidth=10,13", argument)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_at_any_moment_leaves_a_gathered_sweep_that_goes_on(tmp_path: Path, number: int) -> None:
    typed = "seed=0,1,2,3"
    run = start(tmp_path, typed)
    wait_for_calls(tmp_path, 2)
    time.sleep(random.uniform(0, 0.4))  # within a cell, or between two
    run.send_signal(number)
    out, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    cells = find_cells(tmp_path / "sweep")
    assert len(cells) == 4
    assert {cell.status for cell in cells} == {"ok", "interrupted"}
    assert "results: sweep" in out
    summary = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert (summary["exit_code"], len(summary["cells"])) == (130, 4)
    finished = {cell.name for cell in cells if cell.status == "ok"}

    assert call(FAKE, tmp_path, "-m", typed, "hydra.sweep.dir=sweep").returncode == 0
    assert json.loads((tmp_path / "sweep" / "summary.json").read_text())["exit_code"] == 0
    assert {status(tmp_path / "sweep" / name)["attempt"] for name in finished} == {1}


@pytest.mark.parametrize(
    ("count", "kills", "typed"),
    [
        (4, 1, ("model=vgg16", "bandwidth=30,60", "latency=28", "seed=1,2")),
        pytest.param(
            *(24, 3, ("model=densenet169,resnet101,vgg16", "bandwidth=30,60", "latency=10,28", "seed=1,2")),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_sweep_killed_again_and_again_ends_with_each_cell_once(
    tmp_path: Path, count: int, kills: int, typed: tuple[str, ...]
) -> None:
    """SIGKILL at random moments; the bar with real cells is experiments/sweep_robustness.py."""
    for kill in range(kills):
        run = start(tmp_path, *typed)
        wait_for_calls(tmp_path, (count // 6) * kill + 1)
        time.sleep(random.uniform(0, 0.5))
        run.kill()
        run.communicate()
    run = start(tmp_path, *typed)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    sweep = tmp_path / "sweep"
    cells = find_cells(sweep)
    assert len(cells) == count
    assert {cell.status for cell in cells} == {"ok"}
    tries = {cell.name: attempts.read(cell.folder) for cell in cells}
    assert all([each["status"] for each in own] == ["killed"] * (len(own) - 1) + ["ok"] for own in tries.values())
    assert sum(len(own) - 1 for own in tries.values()) <= kills
    assert all(status(sweep / name)["attempt"] == len(own) for name, own in tries.items())
    with (sweep / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = Counter((row["model"], row["bandwidth_mbps"], row["rtt_ms"], row["sweep.seed"]) for row in rows)
    assert (len(keys), set(keys.values())) == (count, {1})
    assert len(record(sweep)["starts"]) == kills + 1


def test_one_cell_that_cannot_run_and_one_that_crashes_leave_the_others(tmp_path: Path) -> None:
    done = call(FAKE, tmp_path, "-m", "bandwidth=10,20,21", "hydra.sweep.dir=sweep")
    assert done.returncode == 1
    cells = {cell.bandwidth_mbps: cell for cell in find_cells(tmp_path / "sweep")}
    assert {rate for rate, cell in cells.items() if cell.status == "ok"} == {10.0}
    assert cells[20.0].error == "the edge is gone"
    assert cells[21.0].error == "ZeroDivisionError: by zero"
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        reasons = [
            row["infeasible_because"] for row in csv.DictReader(file) if row["bandwidth_mbps"] in ("20.0", "21.0")
        ]
    assert len(reasons) == 2
    assert all("failed: " in reason for reason in reasons)


def test_attempts_survive_a_line_that_was_cut_short(tmp_path: Path) -> None:
    attempts.begin(tmp_path)
    with (tmp_path / attempts.FILE).open("a") as file:
        file.write('{"attempt": 1, "sta')
    second = attempts.begin(tmp_path)
    second.end({"status": "failed", "error": "so it is"})
    assert [(each["status"], each["error"]) for each in attempts.read(tmp_path)] == [
        ("killed", None),
        ("failed", "so it is"),
    ]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["-m", "a=1"], ["-m", "a=1", "hydra.sweep.dir=x/y"]),
        (["a=1", "b=2", "-m"], ["a=1", "b=2", "hydra.sweep.dir=x/y", "-m"]),
        (["-m", "--config-dir=mine"], ["-m", "--config-dir=mine", "hydra.sweep.dir=x/y"]),
        (["-m", "hydra.sweep.dir=z"], ["-m", "hydra.sweep.dir=z"]),
    ],
)
def test_the_folder_is_named_among_the_overrides(typed: list[str], expected: list[str]) -> None:
    assert named(typed, Path("x/y")) == expected


def test_the_time_left_goes_by_the_cells_that_ran() -> None:
    assert left([], 9) == ""
    assert left([60.0, 120.0], 4) == ", about 6 min left"
    assert left([2.0], 9) == ""


def test_modes_that_compare_no_times_run_as_typed_and_a_sweep_without_cells_is_cleaned_away(tmp_path: Path) -> None:
    assert call(FAKE, tmp_path, "-m", "mode=predict", "seed=1,2", "hydra.sweep.dir=sweep").returncode == 0
    assert [line.split()[1] for line in calls(tmp_path)] == ["1", "2"]
    assert not (tmp_path / "sweep" / ".code").exists()
    for number in ("0", "1"):
        shutil.rmtree(tmp_path / "sweep" / number)  # as if it had been killed before its first cell
    (found,) = cleaning.find(tmp_path)
    assert (found.path, found.kind) == (tmp_path / "sweep", "sweep")
