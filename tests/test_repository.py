"""The repository as a newcomer finds it: the README's commands, the Makefile, the lock file, the tracked files."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from harness.spec import PROJECT
from tests.repository import TARGETS, check, commands, run

LONGEST_MODULE = 320
PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(?: ; .*?)?\s+--hash=sha256:[0-9a-f]{64}")
#: A home folder, or this checkout. A checkout just below the root has a name too common to look for.
ABSOLUTE = [r"/(?:home|Users)/\w", r"(?<![\w}])/roo[t]\b"] + (
    [re.escape(str(PROJECT)) + r"\b"] if len(PROJECT.parts) > 2 else []
)


def tracked(*patterns: str) -> list[Path]:
    done = run("git", "ls-files", "-z", *patterns)
    assert done.returncode == 0, done.stderr
    return [path for name in done.stdout.split("\0") if name and (path := PROJECT / name).is_file()]


# -- the README's commands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", commands(PROJECT / "README.md"))
def test_a_command_of_the_readme_works(command: str, tmp_path: Path) -> None:
    check(command, tmp_path)


def test_the_readme_names_the_commands_of_the_design() -> None:
    found = commands(PROJECT / "README.md")
    wanted = {"make run", "make test", "python run.py -m bandwidth=30,60 model=densenet169"}
    assert wanted <= {command.replace(".venv/bin/python", "python") for command in found}


def test_what_the_readme_refers_to_is_tracked() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    missing = [link for link in links if ":" not in link and not (PROJECT / link).exists()]
    assert missing == []


# -- Makefile, CI ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_the_makefile_exists_and_is_explained(target: str) -> None:
    assert run("make", "-n", target).returncode == 0
    assert re.search(rf"^make {target} ", run("make", "help").stdout, flags=re.MULTILINE)


def test_an_install_that_fails_is_done_anew_and_one_that_worked_is_not(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"nothing @ file:///nowhere.whl --hash=sha256:{0:064d}\n")
    assert run("make", "venv", folder=tmp_path).returncode == 2
    assert list((tmp_path / ".venv").glob(".installed*")) == []
    lock.write_text("")
    assert run("make", "venv", folder=tmp_path).returncode == 0
    assert "Nothing to be done" in run("make", "venv", folder=tmp_path).stdout


def test_an_environment_elsewhere_is_not_emptied_through_a_link(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("")
    (tmp_path / ".venv").symlink_to("elsewhere")
    done = run("make", "venv", folder=tmp_path)
    assert done.returncode == 2
    assert "error: .venv is a link" in done.stderr
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["kept"]


@pytest.mark.parametrize("python", ["/nowhere/python3.11", "false", ""])
def test_a_wrong_python_is_one_line(tmp_path: Path, python: str) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").write_text("")
    done = run("make", "venv", f"PYTHON={python}", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("error: Python 3.11 is needed; ")
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_the_tests_and_a_validation_whose_gate_counts() -> None:
    assert os.access(PROJECT / ".ci" / "run", os.X_OK)
    assert run("bash", "-n", ".ci/run").returncode == 0
    text = (PROJECT / ".ci" / "run").read_text()
    assert "make --no-print-directory test" in text
    (line,) = re.findall(
        r"^ *\.venv/bin/python run\.py (.*?) \|\| code=", text.replace("\\\n", " "), flags=re.MULTILINE
    )
    assert {"model=mobilenetv2", "gate.selftest=true"} <= set(line.split())
    assert not {"gate.enabled=false", "mode=measure"} & set(line.split())


# -- the lock file, the tracked files -------------------------------------------------------------------------------


def test_the_lock_pins_everything_by_hash_and_knows_no_address() -> None:
    text = (PROJECT / "requirements.lock").read_text()
    requirements = [
        line for line in text.replace("\\\n", " ").splitlines() if line and not line.lstrip().startswith("#")
    ]
    pinned = {}
    for requirement in requirements:
        found = re.match(
            r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(?: ; .*?)?\s+--hash=sha256:[0-9a-f]{64}", requirement
        )
        assert found, requirement[:80]
        pinned[found[1].lower()] = found[2]
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host", text)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.split(r"[\[<>=]", name)[0].lower() for name in wanted} <= pinned.keys()


def test_modules_are_short() -> None:
    lengths = {str(path.relative_to(PROJECT)): len(path.read_text().splitlines()) for path in tracked("*.py")}
    assert {name: length for name, length in lengths.items() if length >= LONGEST_MODULE} == {}
    assert len((PROJECT / "run.py").read_text().splitlines()) < 60


def test_tracked_files_hold_no_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{path.name}: {match[0]}" for pattern in ABSOLUTE for match in re.finditer(pattern, text)]
    assert found == []


def test_results_and_caches_are_not_tracked() -> None:
    folders = {path.relative_to(PROJECT).parts[0] for path in tracked()}
    assert folders.isdisjoint({".venv", ".hypothesis", ".benchmarks", ".mypy_cache"})
    assert {path.name for path in tracked("outputs")} <= {".gitkeep"}
