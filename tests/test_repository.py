"""The repository as a newcomer finds it: the README's commands, the Makefile, the lock file, the tracked files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.spec import PROJECT, Spec
from tests.cli import fake_cell

LONGEST_MODULE = 320
TARGETS = ("run", "test", "test-all", "lint", "venv", "lock", "help")
PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(?: ; .*?)?\s+--hash=sha256:[0-9a-f]{64}")
#: Of run.py: these end at once, so they are run as they stand.
QUICK_FLAGS = {"--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info"}
#: A home folder, or this checkout. A checkout just below the root has a name too common to look for.
ABSOLUTE = [r"/(?:home|Users)/\w", r"(?<![\w}])/roo[t]\b"] + (
    [re.escape(str(PROJECT)) + r"\b"] if len(PROJECT.parts) > 2 else []
)


def run(*command: str, folder: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**{name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tracked(*patterns: str) -> list[Path]:
    done = run("git", "ls-files", "-z", *patterns)
    assert done.returncode == 0, done.stderr
    return [path for name in done.stdout.split("\0") if name and (path := PROJECT / name).is_file()]


# -- the README's commands ----------------------------------------------------------------------------------------


def readme_commands() -> list[str]:
    """Every command in a fenced `sh` block, without comments; `a && b` is two."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.join(shlex.split(line, comments=True)).replace("'&&'", "&&") for line in lines]
    return list(dict.fromkeys(part for command in commands for part in command.split(" && ") if part))


def compose(arguments: list[str], folder: Path) -> None:
    """What `run.py` with these arguments would do, up to its start."""
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    if flags & QUICK_FLAGS:
        done = run(sys.executable, str(PROJECT / "run.py"), *arguments, folder=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    elif flags & {"-m", "--multirun"}:  # the whole sweep, with cells that do nothing
        done = run(sys.executable, fake_cell.__file__, *arguments, folder=folder, PYTHONPATH=str(PROJECT))
        assert done.returncode == 0, done.stderr
        assert len((folder / "calls.txt").read_text().splitlines()) > 1
    else:
        done = run(sys.executable, str(PROJECT / "run.py"), *arguments, "--cfg", "job", "--resolve", folder=folder)
        assert done.returncode == 0, done.stderr
        Spec.from_config(yaml.safe_load(done.stdout))


def make_command(words: list[str], folder: Path) -> None:
    """Its targets exist, and what it hands to run.py or to pytest is right."""
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    targets = [word for word in words if "=" not in word]
    done = run("make", "-n", *words)
    assert done.returncode == 0, done.stderr
    assert set(targets) <= set(TARGETS)
    if "run" in targets:
        compose(shlex.split(variables.get("ARGS", "")), folder)
    elif "ARGS" in variables:
        collect(shlex.split(variables["ARGS"]))


def collect(arguments: list[str]) -> None:
    done = run(sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", readme_commands())
def test_a_command_of_the_readme_works(command: str, tmp_path: Path) -> None:
    """Run if it is quick, else composed. A command of a kind that nothing here knows fails: it needs its check."""
    program, *arguments = shlex.split(command)
    if program in ("python", ".venv/bin/python"):
        if arguments[0] == "run.py":
            compose(arguments[1:], tmp_path)
        elif arguments[:2] == ["-m", "pytest"]:
            collect(arguments[2:])
        elif arguments[0].startswith("experiments/") or arguments[:2] == ["-m", "experiments"]:
            done = run(sys.executable, *arguments, "--help")
            assert done.returncode == 0, done.stderr
            unknown = {word for word in arguments if word.startswith("--")} - set(re.findall(r"--[a-z-]+", done.stdout))
            assert unknown == set()
        elif arguments[:2] == ["-m", "netem"] and arguments[2] in ("plan", "capabilities", "check"):
            done = run(sys.executable, *arguments)
            assert done.returncode == 0, done.stderr
            assert done.stdout
        elif arguments[:2] == ["-m", "harness.offloader.shipping"]:
            done = run(sys.executable, *arguments[:2], str(tmp_path / arguments[2]))
            assert done.returncode == 0, done.stderr
            assert (tmp_path / arguments[2] / "scission" / "config.pbtxt").exists()
        else:
            pytest.fail(f"nothing here checks `{command}`: add how")
    elif program == "make":
        make_command(arguments, tmp_path)
    elif (program, *arguments[:1]) == ("git", "clone"):
        place = tmp_path / Path(arguments[-1]).stem
        assert run("git", "clone", "-q", str(PROJECT), str(place)).returncode == 0
        assert run("make", "help", folder=place).returncode == 0
    elif program == "cd":
        clones = [shlex.split(other)[-1] for other in readme_commands() if other.startswith("git clone")]
        assert arguments[0] in [Path(clone).stem for clone in clones] or (PROJECT / arguments[0]).is_dir()
    elif program == ".ci/run":
        assert os.access(PROJECT / ".ci" / "run", os.X_OK)
        assert run("bash", "-n", ".ci/run").returncode == 0
    else:
        pytest.fail(f"nothing here checks `{command}`: add how")


def test_the_readme_names_the_commands_of_the_design() -> None:
    commands = readme_commands()
    wanted = {"make run", "make test", "python run.py -m bandwidth=30,60 model=densenet169"}
    assert wanted <= {command.replace(".venv/bin/python", "python") for command in commands}


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
