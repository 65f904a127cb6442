"""What runs under a warden lives as long as its lease, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.testbed import warden

LEASE_S = 0.6


def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    order = {"command": command, "environment": {}, "cpu": None, "lease_s": None, "folder": None, "ready": None}
    argv = [sys.executable, "-I", "-S", warden.__file__, json.dumps({**order, "remove": [], **options})]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def tree(folder: Path) -> list[str]:
    """A command that starts another, which detaches itself; both write down who they are."""
    inner = f"echo $$ >> {folder}/pids; exec sleep 1000"
    return ["sh", "-c", f"echo $$ >> {folder}/pids; setsid sh -c '{inner}' & sleep 0.1; touch {folder}/up; wait"]


def up(process: subprocess.Popen[bytes], folder: Path) -> list[int]:
    assert process.stdout
    assert "ready" in json.loads(process.stdout.readline())
    pids = [int(line) for line in (folder / "pids").read_text().split()]
    assert len(pids) == 2
    return pids


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_renewed_lease_holds_and_a_lapsed_one_ends_everything(tmp_path: Path) -> None:
    process = start(tree(tmp_path), lease_s=LEASE_S, ready=f"{tmp_path}/up")
    assert process.stdin
    pids = up(process, tmp_path)
    for _ in range(6):
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(LEASE_S / 3)
    assert process.poll() is None
    assert process.wait(10 * LEASE_S) == 0
    assert gone(pids)
    assert process.stderr
    assert b"nobody renewed" in process.stderr.read()


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGHUP", "SIGTERM SIGHUP"])
def test_the_end_of_the_other_side_ends_everything_and_its_folders(tmp_path: Path, how: str) -> None:
    folder, other = tmp_path / "private", tmp_path / "other"
    other.mkdir()
    process = start(tree(tmp_path), ready=f"{tmp_path}/up", folder=str(folder), remove=[str(other)])
    pids = up(process, tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    if how == "end of input":
        assert process.stdin
        process.stdin.close()
    else:
        for name in how.split():  # both at once is what systemd sends to a session
            os.kill(process.pid, getattr(signal, name))
    assert process.wait(10) == 0
    assert gone(pids)
    assert process.stderr
    assert b"Traceback" not in process.stderr.read()
    assert not folder.exists()
    assert not other.exists()


def test_a_command_that_ends_is_told_with_its_code() -> None:
    process = start(["sh", "-c", "echo why >&2; exit 7"])
    assert process.wait(10) == 7  # its input stays open: nobody asked it to end
    output, errors = process.communicate(timeout=10)
    assert json.loads(output) == {"ended": 7}
    assert errors == b"why\n"


def test_a_folder_that_is_somebody_elses_is_not_touched(tmp_path: Path) -> None:
    process = start(["true"], folder=str(tmp_path))
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert b"File exists" in errors
    assert tmp_path.exists()


def test_a_command_that_is_missing_is_one_line() -> None:
    process = start(["/nowhere/program"])
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert b"/nowhere/program" in errors
