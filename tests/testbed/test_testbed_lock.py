"""One measuring run at a time on a host."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import CapabilityError
from harness.spec import PROJECT
from harness.testbed import lock

HOLD = "from harness.testbed import lock\nwith lock.measuring():\n    print(flush=True)\n    input()"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(lock.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


@contextmanager
def another_run() -> Iterator[subprocess.Popen[bytes]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=PROJECT, env={**os.environ, "PYTHONPATH": "."}, **pipes
    ) as run:  # type: ignore[call-overload]
        assert run.stdout is not None
        assert run.stdout.readline() == b"\n"
        try:
            yield run
        finally:
            run.kill()


def test_a_second_run_is_refused_in_one_line_that_names_the_first(folder: Path) -> None:
    with another_run() as run:
        with pytest.raises(CapabilityError) as caught, lock.measuring():
            pass
        message = str(caught.value)
        assert "\n" not in message
        assert f"process {run.pid}" in message
        assert str(lock.lock_path()) in message
        assert caught.value.exit_code == 1


def test_a_measuring_run_is_refused_and_predicting_is_not(folder: Path) -> None:
    own = ["model=mobilenetv2", f"profile.dir={folder / 'profiles'}", f"hydra.run.dir={folder / 'cell'}"]
    with lock.measuring():
        measured, predicted = (
            subprocess.run(
                [sys.executable, "run.py", *own, mode], cwd=PROJECT, capture_output=True, text=True, check=False
            )
            for mode in ("mode=measure", "mode=predict")
        )
    assert measured.returncode == 1
    (line,) = measured.stderr.splitlines()
    assert "another run is measuring on this host" in line
    assert json.loads((folder / "cell" / "status.json").read_text())["status"] == "failed"
    assert predicted.returncode == 2  # it only lacks a profile
    assert "mode=profile" in predicted.stderr


def test_within_one_process_too(folder: Path) -> None:
    with lock.measuring(), pytest.raises(CapabilityError, match=f"process {os.getpid()}"), lock.measuring():
        pass


def test_it_is_free_again_after_a_run_and_after_a_kill(folder: Path) -> None:
    for _ in range(2):
        with lock.measuring():
            pass
    with another_run() as run:
        run.send_signal(signal.SIGKILL)
        run.wait()
    with lock.measuring():
        pass


def test_the_file_is_everybody_s_and_empty(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with lock.measuring():
            (made,) = folder.iterdir()
    finally:
        os.umask(before)
    assert made == lock.lock_path()
    assert stat.S_IMODE(made.stat().st_mode) == 0o444
    assert made.stat().st_size == 0


def test_a_folder_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(lock.FOLDER_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(CapabilityError, match=lock.FOLDER_VARIABLE) as caught, lock.measuring():
        pass
    assert "\n" not in str(caught.value)


def test_without_the_variable_every_user_of_the_host_meets_at_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lock.FOLDER_VARIABLE, raising=False)
    path = lock.lock_path()
    monkeypatch.setenv("TMPDIR", "/somewhere/else")
    assert lock.lock_path() == path
    assert path.parent.stat().st_mode & stat.S_IWOTH
