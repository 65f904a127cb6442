"""What tests of the repository share: running commands, and checking those that documents show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.spec import PROJECT, Spec
from tests import forks
from tests.cli import fake_cell

TARGETS = ("run", "test", "test-all", "coverage", "lint", "venv", "lock", "help")
#: Of run.py: these end at once, so they are run as they stand.
QUICK_FLAGS = {"--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info"}


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


def commands(document: Path) -> list[str]:
    """Every command in a fenced `sh` block, without comments; `a && b` is two."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    lines = [shlex.join(shlex.split(line, comments=True)).replace("'&&'", "&&") for line in lines]
    return list(dict.fromkeys(part for command in lines for part in command.split(" && ") if part))


def compose(arguments: list[str], folder: Path) -> None:
    """What `run.py` with these arguments would do, up to its start."""
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    if flags & QUICK_FLAGS or "mode=plan" in arguments:
        done = forks.call(PROJECT / "run.py", folder, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    elif flags & {"-m", "--multirun"}:  # the whole sweep, with cells that do nothing
        # A worker of Ray's would run the real ones: tests/cli/test_cli_ray.py.
        own = [each for each in arguments if not each.startswith(("hydra/launcher=ray", "hydra.launcher.testbeds="))]
        done = forks.call(Path(fake_cell.__file__), folder, *own)
        assert done.returncode == 0, done.stderr
        assert len((folder / "calls.txt").read_text().splitlines()) > 1
    else:  # a folder of configurations is meant from where the command is typed; --cfg makes nothing there
        place = PROJECT if "--config-dir" in flags else folder
        done = forks.call(PROJECT / "run.py", place, *arguments, "--cfg", "job", "--resolve")
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


def check(command: str, tmp_path: Path) -> None:
    """Run if it is quick, else compose. A command of a kind that nothing here knows fails: it needs its check."""
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
        clones = [shlex.split(other)[-1] for other in commands(PROJECT / "README.md") if other.startswith("git clone")]
        assert arguments[0] in [Path(clone).stem for clone in clones] or (PROJECT / arguments[0]).is_dir()
    elif program == ".ci/run":
        assert os.access(PROJECT / ".ci" / "run", os.X_OK)
        assert run("bash", "-n", ".ci/run").returncode == 0
    else:
        pytest.fail(f"nothing here checks `{command}`: add how")
