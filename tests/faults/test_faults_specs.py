"""Any command line ends in a run or in exit 2 with one line, and then nothing was started or written."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.spec import PROJECT
from tests import forks
from tests.faults import fake_start
from tests.spec.test_spec_schema import DEFAULT, leaves

GROUPS = sorted(path.name for path in (PROJECT / "conf").iterdir() if path.is_dir())
OPTIONS = sorted({path.stem for path in (PROJECT / "conf").rglob("*.yaml")})
KEYS = [*leaves(DEFAULT), *DEFAULT, *GROUPS]
MODES = ("validate", "measure", "profile", "predict", "train", "deploy", "plan", "doctor", "report", "clean", "repro")
NASTY = (
    "", "''", '""', "null", "~", "???", "nan", "-nan", "inf", "-inf", "1e309", "-1", "0", "1e-300",
    "99999999999999999999", "true", "0x10", "1_000", "07", "1e", "--", "-", "=", "a=b", "[", "]", "[]", "{}", "[[]]",
    "{a:1}", "[1,2", "{a:", "[,]", "1:2:3", "1:100:5:log", "0:0:0", "1:nan:3", "choice(1,2)", "range(1,3)",
    "interval(0,1)", "glob(*)", "shuffle(1,2)", "${bandwidth}", "${nowhere}", "${oc.env:HOME}", "${oc.env:NOT_THERE}",
    "${", "${}", "$HOME", "$(reboot)", "`reboot`", "; reboot", "a b", "a\tb", "a\nb", "\\", "\\\\x", "'", '"',
    "\u00e9\u4e2d\U0001f600", "\u202e", "\x01", "%s%n", "{0}", "/", "//", "/dev/null", "/dev/zero", "/proc/self/mem",
    "../../../etc/passwd", "~root", "~no_such_user/x", "9" * 400,
    ".", "..", "x" * 5000, "/" + "y" * 300, "main.py:f", "os:system", "split",
    "device-only", "maxpool:pool=0", "uint8+zlib",
)  # fmt: skip
VALUES = (
    st.sampled_from(NASTY)
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.sampled_from(OPTIONS)
    | st.sampled_from(MODES)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
    | st.lists(st.integers(-3, 400) | st.floats(), max_size=4).map(str)
)
NAMES = st.sampled_from(KEYS) | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=9)
ASSIGNMENTS = st.builds("{}{}={}".format, st.sampled_from(["", "", "", "", "+", "++"]), NAMES, VALUES)
ARGUMENTS = (
    ASSIGNMENTS
    | st.builds("mode={}".format, st.sampled_from(MODES))
    | st.builds("~{}".format, NAMES)
    | st.sampled_from(
        ["-m", "--multirun", "--cfg", "--config-name=x", "--config-dir=/", "-x", "--", "--resolve", "--version"]
    )
    | VALUES
)


def visit(arguments: list[str]) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """One command line in a folder of its own, and the files that it left there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = forks.call(Path(fake_start.__file__), folder, *arguments, environment={"PYTHONPATH": str(PROJECT)})
        return done, sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def judge(arguments: list[str]) -> None:
    # Last, so that nothing of the generated one decides where results go.
    done, files = visit([*arguments, "hydra.run.dir=out", "hydra.sweep.dir=out"])
    said = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr + done.stdout, done
    assert done.returncode in (0, 2), done
    if done.returncode == 2:
        assert len(said) == 1, said
        assert said[0].startswith("error: "), said
        assert files == [], files
        assert len(said[0]) < 2000, said


def test_of_an_endless_argument_the_line_keeps_its_two_ends() -> None:
    for arguments in (["x" * 5000], [f"bandwidth={'[' * 5000}"], [f"{'y' * 5000}=1"], [f"model={'z' * 5000}"]):
        judge(arguments)
    said = visit(["x" * 5000])[0].stderr
    assert said.startswith("error: cannot read the argument 'xxx")
    assert "allowed: key=value" in said


HOSTILE = settings(suppress_health_check=list(HealthCheck))


@settings(HOSTILE, max_examples=40)
@given(arguments=st.lists(ARGUMENTS, min_size=1, max_size=4))
def test_any_command_line_is_a_run_or_one_line(arguments: list[str]) -> None:
    judge(arguments)


@pytest.mark.slow
@settings(HOSTILE, max_examples=2000)
@given(arguments=st.lists(ARGUMENTS, min_size=1, max_size=4))
def test_two_thousand_command_lines_are_runs_or_one_line(arguments: list[str]) -> None:
    judge(arguments)


@pytest.mark.slow
@pytest.mark.parametrize("value", NASTY)
def test_a_nasty_value_of_a_root_key_is_a_run_or_one_line(value: str) -> None:
    for key in ("bandwidth", "model", "hydra.sweeper.params.seed", "from"):
        judge([f"{key}={value}"])


def test_a_fake_cell_is_a_run() -> None:
    done, files = visit(["bandwidth=30", "hydra.run.dir=out"])
    assert done.returncode == 0, done
    assert "out/status.json" in files
