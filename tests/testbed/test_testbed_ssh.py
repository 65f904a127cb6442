"""How a board is asked: the command that is run here, and what its end means."""

from __future__ import annotations

import hashlib
import io
import itertools
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import DeviceError
from harness.spec.board import Board
from harness.testbed import shipping
from harness.testbed.ssh import Shell
from harness.testbed.surroundings import last_line

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")


def option(argv: list[str], name: str) -> str | None:
    """The value that ssh takes: the first that it is told."""
    given = [word.partition("=") for flag, word in itertools.pairwise(argv) if flag == "-o"]
    return next((value for own, _, value in given if own == name), None)


def test_ssh_never_asks_and_never_shares_a_connection() -> None:
    argv = Shell(Board(host="user@board")).argv(["true"])
    assert (option(argv, "BatchMode"), option(argv, "ControlPath")) == ("yes", "none")
    assert option(argv, "ClearAllForwardings") == "yes"
    assert argv[-3:] == ["--", "user@board", "exec true"]


def test_own_options_come_first_and_a_dead_connection_is_noticed_within_the_lease() -> None:
    argv = Shell(Board(host="board", ssh_options=("ConnectTimeout=3", "Port=2222"), lease_s=8)).argv(["true"])
    assert (option(argv, "ConnectTimeout"), option(argv, "Port")) == ("3", "2222")
    interval, count = (int(option(argv, f"ServerAlive{name}") or 0) for name in ("Interval", "CountMax"))
    assert interval * count <= 8


def test_a_forwarded_socket_is_private_and_must_come_about() -> None:
    argv = Shell(Board(host="board")).argv(["true"], forward=(Path("/here.sock"), "/there.sock"))
    assert argv[argv.index("-L") + 1] == "/here.sock:/there.sock"
    assert (option(argv, "ExitOnForwardFailure"), option(argv, "StreamLocalBindMask")) == ("yes", "0177")


@pytest.mark.parametrize("word", ["two words", "it's", '"', "$HOME", "a\nb", "; rm -r x", ""])
def test_every_word_arrives_as_it_is(word: str) -> None:
    remote = Shell(Board(host="board")).argv(["printf", "%s", word])[-1]
    assert shlex.split(remote) == ["exec", "printf", "%s", word]
    assert subprocess.run(["sh", "-c", remote], capture_output=True, check=True).stdout.decode() == word


@pytest.mark.parametrize(
    ("code", "complaint", "message"),
    [
        (255, b"x\r\nuser@board: Permission denied (publickey).\r\n", "Permission denied (publickey).; what must work"),
        (127, b"sh: 1: exec: python9: not found\n", "set hardware.device.python"),
        (3, b"", "ended with code 3: it printed nothing"),
    ],
)
def test_what_an_ended_ssh_means_is_one_line(code: int, complaint: bytes, message: str) -> None:
    error = Shell(Board(host="board")).failure("python9", code, complaint)
    assert isinstance(error, DeviceError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_a_last_line_is_short_and_plain() -> None:
    assert last_line(b"one\ntwo \x1b[0m\t three\n\n") == "two \x1b[0m three"
    assert len(last_line(b"x" * 5000)) <= 300


class Recorded:
    """A shell that notes what would have been sent, and answers as a board does."""

    host = "board"

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}

    def run(self, command: list[str], *, source: object, timeout_s: float) -> bytes:
        self.sent[command[-2]] = source if isinstance(source, bytes) else source.read()  # type: ignore[attr-defined]
        return b"Welcome!\nscissionlite:{}\n"


def test_the_files_of_a_model_are_shipped_by_content_once(tmp_path: Path) -> None:
    board = dict.fromkeys(("python", "machine", "host", "kernel", "cpu"), "") | {"executable": "python3", "cores": 2}
    board |= {"cpus": (0,), "versions": {}, "ssh_port": 22, "folder": "/there", "have": ()}
    host = shipping.Host(**board)  # type: ignore[arg-type]
    (tmp_path / "own.weights.h5").write_bytes(b"numbers")
    (tmp_path / "net.py").write_text("def build(): ...")
    model = {"name": "own", "weights": str(tmp_path / "own.weights.h5"), "factory": f"{tmp_path / 'net.py'}:build"}
    shell = Recorded()
    found = shipping.ship_model(shell, host, model)  # type: ignore[arg-type]
    digest = hashlib.sha256(b"numbers").hexdigest()
    assert found["weights"] == f"/there/{digest}/own.weights.h5"
    assert found["factory"].startswith("/there/")
    assert found["factory"].endswith("/net.py:build")
    assert shell.sent == {"own.weights.h5": b"numbers", "net.py": b"def build(): ..."}
    again = Recorded()
    there = replace(host, have=(digest, found["factory"].split("/")[2]))
    assert shipping.ship_model(again, there, model) == found  # type: ignore[arg-type]
    assert again.sent == {}
    plain = {"name": "mobilenetv2", "weights": "imagenet", "file": None, "factory": "nets.own:build"}
    assert shipping.ship_model(again, host, plain) == plain  # type: ignore[arg-type]


def test_what_arrives_damaged_leaves_nothing_on_a_board_and_what_is_whole_stands_once(tmp_path: Path) -> None:
    def take(digest: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-I", "-S", "-c", shipping._TAKE, str(tmp_path), "weights.h5", digest]
        return subprocess.run(command, input=b"half", capture_output=True, check=False)

    damaged = take("0" * 64)
    assert (damaged.returncode, damaged.stderr.strip()) == (1, b"what came is not what was sent")
    assert list(tmp_path.iterdir()) == []
    digest = hashlib.sha256(b"half").hexdigest()
    assert [take(digest).returncode for _ in range(2)] == [0, 0]
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [digest, f"{digest}/weights.h5"]


def test_what_is_shipped_is_our_code_alone_and_always_the_same_bytes() -> None:
    packed = shipping._archive()
    shipping._archive.cache_clear()
    assert shipping._archive() == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
    assert {name.partition("/")[0] for name in names} == {"harness", "netem", "pyroute2"}
    assert {"harness/testbed/agent.py", "harness/testbed/warden.py", "netem/nic_command.py"} <= set(names)
    assert all(name.endswith(".py") for name in names)
