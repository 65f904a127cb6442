"""run.py as a user types it: a process of its own, its exit code, its console, its folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.app import EXIT_CODES, combine
from harness.spec import AVAILABLE_MODES, PROJECT, Spec
from tests import forks
from tests.cli import fake_cell

FAKE = PROJECT / "tests" / "cli" / "fake_cell.py"
ROOT_KEYS = list(Spec.model_fields)


def call(script: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.call(script, folder, *arguments)


def start(script: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def status(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "status.json").read_text())
    assert isinstance(record, dict)
    return record


def calls(folder: Path) -> list[str]:
    return (folder / "calls.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["bandwidth=-3"], ["bandwidth=-3", "above 0", "Mbit/s"]),
        (["bandwidth=nan"], ["bandwidth=nan", "finite", "Mbit/s"]),
        (["latency=abc"], ["latency=abc", "number", "ms"]),
        (["measure.samples=0"], ["measure.samples=0", "at least 1"]),
        (["model=densnet169"], ["model=densnet169", "did you mean 'densenet169'?"]),
        (["bandwith=30"], ["unknown key 'bandwith'", "did you mean 'bandwidth'?"]),
        (["+nothing.like=this"], ["unknown key 'nothing'"]),
        (["measure.sampels=3"], ["unknown key 'measure.sampels'", "did you mean 'measure.samples'?"]),
        (["mode=repro", "from=nowhere"], ["from=", "nowhere", "no such folder", "outputs"]),
        (["report.figures=[fig55]"], ["fig55", "did you mean 'fig5'?"]),
        (["experiment=fig5"], ["hardware.profiles=null", "hardware.profiles=FOLDER"]),
        (["bandwidth=30,60"], ["bandwidth=30,60", "-m"]),
        (["bandwidth"], ["cannot read the argument 'bandwidth'", "key=value"]),
        (["bandwidth=[30"], ["cannot read the argument"]),
        (["bandwidth=${nowhere}"], ["bandwidth cannot be resolved", "nowhere"]),
        (["hydra/launcher=joblib"], ["hydra/launcher=joblib", "basic"]),
        (["model=3"], ["group=option"]),
        (["-m", "bandwidth=30,-60"], ["bandwidth=-60", "above 0"]),
        (["-m", "model=densenet169,resnt101"], ["model=resnt101", "did you mean 'resnet101'?"]),
        (["-m", "--run"], ["Only one of"]),
        (["--foo"], ["unknown flag --foo", "key=value", "--hydra-help"]),
        (["--hepl"], ["unknown flag --hepl", "did you mean '--help'?"]),
        (["--cfg"], ["--cfg", "expected one argument"]),
        (["--cfg", "jbo"], ["--cfg", "'jbo'", "job"]),
        (["seed=1", "-m", "bandwidth=30,60"], ["bandwidth=30,60 stands apart", "before or after"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_spec_is_one_line_and_exit_code_2_and_nothing_made(
    tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    done = call(PROJECT / "run.py", tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert [part for part in parts if part not in done.stderr] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bandwidth", ["10", "11", "20", "24", "-3"])
def test_a_process_of_its_own_does_what_a_fork_does(tmp_path: Path, bandwidth: str) -> None:
    """The other tests here look at forks (tests/forks.py)."""
    found = []
    for way in (start, call):
        folder = tmp_path / way.__name__
        folder.mkdir()
        done = way(FAKE, folder, f"bandwidth={bandwidth}", "hydra.run.dir=cell")
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        found.append((done.returncode, done.stdout, done.stderr, files))
    assert found[0] == found[1]


def test_help_explains_keys_groups_modes_and_exit_codes(tmp_path: Path) -> None:
    done = start(PROJECT / "run.py", tmp_path, "--help")
    assert done.returncode == 0
    assert [key for key in ROOT_KEYS if f"  {key} " not in done.stdout] == []
    for part in ("Mbit/s", "ms", "iiot, local", "Exit codes", "-m bandwidth=30,60", *AVAILABLE_MODES):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--info", "defaults"], ["--hydra-help"], ["--version"]])
def test_the_flags_of_hydra_work_and_make_nothing(tmp_path: Path, flags: list[str]) -> None:
    done = start(PROJECT / "run.py", tmp_path, *flags)
    assert done.returncode == 0
    assert done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bandwidth", "code", "kind", "verdict"),
    [
        (10, 0, "ok", "pass"),
        (11, 3, "ok", "fail"),
        (12, 4, "ok", "inconclusive"),
        (13, 0, "ok", None),
        (20, 1, "failed", None),
        (21, 1, "failed", None),
        (22, 130, "interrupted", None),
        (23, 130, "interrupted", None),
        (24, 2, "invalid", None),
        (25, 3, "ok", "fail"),
        (26, 1, "failed", None),
    ],
)
def test_a_run_ends_with_the_code_of_its_cell_and_a_status(
    tmp_path: Path, bandwidth: int, code: int, kind: str, verdict: str | None
) -> None:
    done = call(FAKE, tmp_path, f"bandwidth={bandwidth}", "hydra.run.dir=cell")
    record = status(tmp_path / "cell")
    assert done.returncode == code
    assert (record["status"], record["verdict"], record["exit_code"]) == (kind, verdict, code)
    assert record["started"] <= record["finished"]
    assert done.stdout.splitlines() == ["results: cell"]
    assert len(done.stderr.splitlines()) == (0 if record["error"] is None else 1)
    assert (tmp_path / "cell" / "error.log").exists() == (kind == "failed")
    assert yaml.safe_load((tmp_path / "cell" / "spec.yaml").read_text())["bandwidth"] == bandwidth


def test_a_cell_whose_disk_is_full_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    done = call(FAKE, tmp_path, f"bandwidth={fake_cell.FULL:g}", "hydra.run.dir=cell")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("error: cell/samples.jsonl cannot be written: No space left on device")
    assert status(tmp_path / "cell")["error"] == line.removeprefix("error: ")
    assert "Traceback" in (tmp_path / "cell" / "error.log").read_text()


def test_a_status_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    done = call(FAKE, tmp_path, f"bandwidth={fake_cell.NO_STATUS:g}", "hydra.run.dir=cell")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"error: cannot write {tmp_path / 'cell' / 'status.json'}: ")
    assert done.stdout.splitlines() == ["results: cell"]


@pytest.mark.parametrize("typed", [["hydra.run.dir=file/cell"], ["-m", "seed=1,2", "hydra.sweep.dir=file"]])
def test_a_folder_that_cannot_be_is_one_line_before_anything_is_begun(tmp_path: Path, typed: list[str]) -> None:
    (tmp_path / "file").touch()
    for more in ([], ["hydra.run.dir=cell", "hydra.sweep.dir=cell", "profile.dir=/dev/null/profiles"]):
        done = call(FAKE, tmp_path, *typed[:-1], *(more or typed[-1:]))
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert "cannot be written: Not a directory" in line
        assert ("profile.dir=/dev/null" if more else typed[-1]) in line
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_error_while_a_command_line_is_checked_is_no_warning(tmp_path: Path) -> None:
    (tmp_path / "runs" / "cell").mkdir(parents=True)
    for name in ("runs/cell/spec.yaml", "file"):
        (tmp_path / name).touch()
    done = call(PROJECT / "run.py", tmp_path, "mode=report", f"from={tmp_path / 'runs'}", "hydra.run.dir=file/report")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: NotADirectoryError: ")
    assert done.stdout == ""


def test_a_run_goes_below_outputs_by_default(tmp_path: Path) -> None:
    assert call(FAKE, tmp_path, "bandwidth=10").returncode == 0
    (folder,) = (tmp_path / "outputs" / "densenet169").iterdir()
    assert status(folder)["status"] == "ok"


def test_the_sweep_of_the_design_runs_a_cell_for_each_value(tmp_path: Path) -> None:
    done = call(FAKE, tmp_path, "-m", "bandwidth=30,60", "model=densenet169")
    assert done.returncode == 0, done.stderr
    assert sorted(calls(tmp_path)) == ["30 0", "60 0"]
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert not (tmp_path / "multirun").exists()
    for name in ("results.csv", "summary.json", "report.html", "junit.xml"):
        assert (sweep / name).exists()
    assert {status(sweep / cell)["status"] for cell in ("0", "1")} == {"ok"}


@pytest.mark.parametrize(
    ("bandwidths", "code", "started"),
    [("10,12", 4, 2), ("12,11,10", 3, 3), ("11,20,10", 1, 3), ("21,24,10", 2, 3), ("10,22,11", 130, 2)],
)
def test_a_sweep_ends_with_the_combined_code_and_is_gathered_all_the_same(
    tmp_path: Path, bandwidths: str, code: int, started: int
) -> None:
    typed = f"bandwidth={bandwidths}", "hydra.sweep.dir=sweep", "hydra.launcher.order=given"
    done = call(FAKE, tmp_path, "-m", *typed)
    assert done.returncode == code, done.stderr
    assert len(calls(tmp_path)) == started
    assert (tmp_path / "sweep" / "results.csv").exists()
    assert (tmp_path / "sweep" / "junit.xml").exists()


def test_a_sweep_started_again_keeps_finished_cells_and_redoes_the_rest(tmp_path: Path) -> None:
    sweep = ["-m", "bandwidth=10,11,20", "hydra.sweep.dir=sweep", "hydra.launcher.order=given"]
    assert call(FAKE, tmp_path, *sweep).returncode == 1
    first = status(tmp_path / "sweep" / "0")
    again = call(FAKE, tmp_path, *sweep)
    assert again.returncode == 1
    assert calls(tmp_path) == ["10 0", "11 0", "20 0", "20 0"]
    assert status(tmp_path / "sweep" / "0") == first
    assert "kept: sweep/0" in again.stdout
    assert status(tmp_path / "sweep" / "2")["attempt"] == 2
    assert [each["status"] for each in status(tmp_path / "sweep" / "2")["earlier_attempts"]] == ["failed"]


def test_a_single_run_always_runs_anew_and_leaves_no_older_records(tmp_path: Path) -> None:
    assert call(FAKE, tmp_path, "bandwidth=10", "hydra.run.dir=cell").returncode == 0
    (tmp_path / "cell" / "splits.csv").write_text("of an earlier run")
    (tmp_path / "cell" / "notes.txt").write_text("the user's own")
    assert call(FAKE, tmp_path, "bandwidth=10", "hydra.run.dir=cell").returncode == 0
    assert len(calls(tmp_path)) == 2
    assert not (tmp_path / "cell" / "splits.csv").exists()
    assert (tmp_path / "cell" / "notes.txt").exists()


@given(st.lists(st.integers(0, 255) | st.sampled_from(EXIT_CODES)))
def test_the_combined_code_is_the_first_that_applies(codes: list[int]) -> None:
    combined = combine(codes)
    ranks = [EXIT_CODES.index(code) if code in EXIT_CODES else EXIT_CODES.index(1) for code in codes]
    assert EXIT_CODES.index(combined) == min(ranks, default=EXIT_CODES.index(0))


def test_the_exit_codes_come_in_the_order_of_the_design() -> None:
    assert EXIT_CODES == (130, 2, 1, 3, 4, 0)


#: run.py, which in the end says how often Hydra has composed the configuration.
_COUNTING = """
import runpy, sys
from hydra._internal.hydra import Hydra
composed, own = [], Hydra.compose_config
Hydra.compose_config = lambda self, *given, **named: (composed.append(1), own(self, *given, **named))[1]
sys.argv[0] = "run.py"
try:
    runpy.run_path("run.py", run_name="__main__")
finally:
    print("composed", len(composed), file=sys.stderr)
"""


@pytest.mark.parametrize(("typed", "times"), [([], 1), (["hydra.mode=RUN"], 2)])
def test_the_configuration_is_composed_once_where_nothing_can_choose_a_sweep(
    tmp_path: Path, typed: list[str], times: int
) -> None:
    command = [sys.executable, "-c", _COUNTING, "mode=plan", f"profile.dir={tmp_path}", *typed]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == f"composed {times}"


def test_a_run_does_not_replace_what_it_reads(tmp_path: Path) -> None:
    """A finished training, a deployment or a trace in the very folder of the run would be taken away first."""
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "tl_model.keras").write_bytes(b"weeks of work")
    done = call(
        PROJECT / "run.py", PROJECT, f"hydra.run.dir={trained}", "mode=deploy", "split=51", f"deploy.trained={trained}"
    )
    assert done.returncode == 2
    assert "deploy.trained=" in done.stderr
    assert "it lies in the folder of this run" in done.stderr
    assert [path.name for path in trained.iterdir()] == ["tl_model.keras"]
