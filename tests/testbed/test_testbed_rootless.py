"""A real cell as an ordinary user, no sudo: over a link in a user namespace of its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.spec import PROJECT
from harness.testbed.lock import FOLDER_VARIABLE

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton, pytest.mark.slow]

NOBODY = 65_534
#: Root's own Python may lie where nobody else looks; any other 3.11 with this one's packages does as well.
PYTHONS = (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11")
CELL = (
    "model=mobilenetv2",
    "hardware=local",
    "measure.splits=[35,80]",
    "measure.samples=3",
    "measure.warmup=1",
    "measure.landmarks_none=false",
    "profile.rounds=2",
    "profile.warmup=1",
)


@dataclass(frozen=True)
class User:
    """An ordinary user: a home of its own, and a virtual environment in it."""

    home: Path
    python: Path

    def run(self, *command: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return as_nobody(*command, home=self.home, timeout_s=timeout_s)


def as_nobody(*command: str | Path, home: Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", FOLDER_VARIABLE: str(home)},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        timeout=timeout_s,
        check=False,
    )


def works(*command: str, home: Path) -> bool:
    try:
        return as_nobody(*command, home=home).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """Skips, with the reason, where the test cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; run as an ordinary user, every other test is rootless")
    home = Path(tempfile.mkdtemp(prefix="ordinary-user-"))  # pytest's own folders are for this user alone
    os.chown(home, NOBODY, NOBODY)
    try:
        if not works("unshare", "-Urnpf", "--mount-proc", "true", home=home):
            pytest.skip("this host gives an ordinary user no namespaces")
        base = next((python for python in PYTHONS if works(python, "-c", "import sys", home=home)), None)
        environment = home / "venv"
        if base is None or not works(base, "-m", "venv", "--without-pip", str(environment), home=home):
            pytest.skip("an ordinary user can run no Python 3.11 here")
        packages = environment / "lib" / "python3.11" / "site-packages" / "packages.pth"
        packages.write_text(sysconfig.get_path("purelib") + "\n")
        own = User(home, environment / "bin" / "python")
        if own.run(own.python, "-c", "import hydra, pyroute2, numpy, grpc").returncode:
            pytest.skip("an ordinary user may not read this Python's packages")
        yield own
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def cell(user: User) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = user.home / "cell"
    own = (f"hydra.run.dir={folder}", f"profile.dir={user.home / 'profiles'}")
    return folder, user.run(user.python, "run.py", *CELL, *own, timeout_s=400)


def read(folder: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / name).read_text())
    return record


def test_an_ordinary_user_runs_a_cell(cell: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = cell
    assert done.returncode in (0, 3, 4), done.stderr[-2000:]
    assert read(folder, "status.json")["status"] == "ok"
    assert len((folder / "samples.jsonl").read_text().splitlines()) >= 3 * 2


def test_what_was_not_permitted_is_said_and_the_link_is_right(
    cell: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    record = read(cell[0], "env.json")
    assert record["rootless"]
    assert record["cores_kept_awake"] == (not any("cores may sleep" in note for note in record["notes"]))
    assert record["link"]["achieved"]["rtt_ms"] == pytest.approx(28, rel=0.05)
    assert record["testbed"]["congestion_control"] == {"device": "cubic", "edge": "cubic"}


def test_every_file_belongs_to_the_user(user: User, cell: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    owners = {path.lstat().st_uid for path in user.home.rglob("*") if path.suffix != ".pth"}
    assert owners == {NOBODY}, pwd.getpwuid(NOBODY)
    assert not [path for path in cell[0].iterdir() if path.is_file() and not path.stat().st_mode & stat.S_IRUSR]


def test_predict_asks_for_no_namespace(user: User, cell: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = user.run(
        user.python,
        "-c",
        "import os, sys; sys.argv[0] = 'run.py'; before = os.readlink('/proc/self/ns/user')\n"
        "import atexit; atexit.register(lambda: print(before == os.readlink('/proc/self/ns/user')))\n"
        "import runpy; runpy.run_path('run.py', run_name='__main__')",
        *CELL,
        "mode=predict",
        f"hydra.run.dir={user.home / 'predicted'}",
        f"profile.dir={user.home / 'profiles'}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "True"
