"""A device at the other end of a real ssh: what is started and shaped there, how it ends, and what is said if not."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tests.netem.plain_veth import ADDRESSES, INTERFACE
from tests.testbed import remote_visitor
from tests.testbed.ssh_board import PORT, SshBoard

pytestmark = pytest.mark.link

LEASE_S = 3
#: This kernel may have no sch_netem: then an interface gets a rate, and nothing else is asked for.
RATE = ("link.backend=rate-only", "latency=0", "bandwidth=8")


def visit(board: SshBoard, verb: str, *overrides: str, timeout_s: float = 90) -> list[dict[str, Any]]:
    done = board.run(*command(board, verb, *overrides), timeout_s=timeout_s)
    assert done.stdout, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def command(board: SshBoard, verb: str, *overrides: str) -> list[str]:
    own = board.overrides(f"hardware.device.lease_s={LEASE_S}", *RATE, *overrides)
    return [sys.executable, remote_visitor.__file__, verb, *own]


def refused(board: SshBoard, *expected: tuple[str, str]) -> list[str]:
    """The one line that each override ends with, which holds what is expected; nothing is left of any."""
    answers = visit(board, "each", json.dumps([override for override, _ in expected]))
    assert len(answers) == len(expected)
    for (override, message), answer in zip(expected, answers, strict=True):
        assert answer["code"] == 1
        assert "\n" not in answer["error"]
        assert message in answer["error"], override
    assert board.commands() == []
    return [str(answer["error"]) for answer in answers]


@pytest.fixture(scope="module")
def before(board: SshBoard) -> str:
    return board.qdiscs()


@pytest.fixture(scope="module")
def seen(board: SshBoard, before: str) -> dict[str, Any]:
    (found,) = visit(board, "look", "bandwidth=3", "link.queue_bytes=60000")
    assert "error" not in found, found
    return found


def test_the_agent_runs_on_the_board_with_code_that_was_shipped(board: SshBoard, seen: dict[str, Any]) -> None:
    assert seen["described"]["affinity"] == [0]
    assert seen["board"]["ssh_port"] == PORT
    (shipped,) = [path for path in board.shipped.iterdir() if (path / "harness").is_dir()]
    assert len(shipped.name) == 64
    assert (shipped / "harness" / "testbed" / "agent.py").is_file()
    assert not list(board.shipped.glob(".coming-*/*"))


def test_the_interface_is_shaped_and_the_link_is_what_was_asked_for(seen: dict[str, Any]) -> None:
    assert (seen["in_force"]["interface"], seen["in_force"]["peer"]) == (INTERFACE, ADDRESSES["edge"])
    assert seen["in_force"]["backend"] == "rate-only"
    assert seen["in_force"]["congestion_control"] == "cubic"
    probed = seen["probe"]
    assert probed["achieved"]["rate_up_mbps"] == pytest.approx(3, rel=0.03)
    assert probed["congestion_control"] == "cubic"
    # Two hosts have two clocks, as far as anybody knows.
    assert probed["achieved"]["delay_up_ms"] is probed["achieved"]["delay_down_ms"] is None


def test_without_a_delay_the_path_itself_is_what_is_predicted_for(seen: dict[str, Any]) -> None:
    path_ms = seen["in_force"]["path_rtt_ms"]
    assert seen["link"]["rtt_ms"] == pytest.approx(path_ms)
    assert seen["probe"]["requested"]["rtt_ms"] == pytest.approx(path_ms)


def test_ssh_is_not_slowed_while_the_shaped_queue_is_full(seen: dict[str, Any]) -> None:
    """60 kB at 3 Mbit/s are 160 ms, which a packet over the shaped path waits, and ssh's do not."""
    load = seen["under_load"]
    assert load["loaded_ms"] < load["shaped_ms"] / 10


def test_the_agents_socket_is_private_at_both_ends_and_it_runs_its_own_verbs_alone(seen: dict[str, Any]) -> None:
    folder, sock = oct(stat.S_IRWXU), (oct(0o600), oct(0o700))
    assert [seen["modes"][place] for place in (0, 2)] == [folder, folder]
    assert {seen["modes"][place] for place in (1, 3)} <= set(sock)
    assert all("Permission denied" in line for line in seen["others_refused"])
    assert "system" in seen["unknown_verb"]


def test_afterwards_everything_is_as_before(board: SshBoard, before: str, seen: dict[str, Any]) -> None:
    assert board.qdiscs() == before
    assert board.commands() == []
    assert "proto 92" not in board.run("ip", "route", where="device").stdout
    listed = board.run("sh", "-c", "ls /tmp", where="device").stdout.split()
    assert [name for name in listed if name.startswith("scissionlite-")] == []


@pytest.mark.slow
def test_a_second_run_ships_nothing(board: SshBoard, seen: dict[str, Any]) -> None:
    shipped = {path: path.stat().st_mtime_ns for path in board.shipped.iterdir()}
    assert visit_once(board) == []
    assert {path: path.stat().st_mtime_ns for path in board.shipped.iterdir()} == shipped


def visit_once(board: SshBoard) -> list[dict[str, Any]]:
    done = board.run(*command(board, "enter"), timeout_s=90)
    return [json.loads(line) for line in done.stdout.splitlines()]


def up(board: SshBoard, *overrides: str) -> subprocess.Popen[bytes]:
    """A run that has everything up and stays."""
    process = board.popen(*command(board, "stay", *overrides), stdout=subprocess.PIPE)
    assert process.stdout
    assert json.loads(process.stdout.readline()) == {"up": True}
    assert "htb 5c10:" in board.qdiscs()
    return process


def test_a_killed_harness_leaves_neither_a_shaped_interface_nor_an_agent(board: SshBoard, before: str) -> None:
    process = up(board)
    (visitor,) = [pid for pid in processes.marked(board.mark) if "remote_visitor" in python_of(pid)]
    os.kill(visitor, signal.SIGKILL)
    process.wait(10)
    board.until(lambda: board.qdiscs() == before and board.commands() == [], 3 * LEASE_S)


def python_of(pid: int) -> str:
    """The command line, unless it is that of the process that stands for another outside (`netem.enter`)."""
    line = processes.command(pid)
    return "" if "netem.enter" in line else line


@pytest.mark.slow
def test_a_dead_network_is_noticed_at_both_ends(board: SshBoard, before: str) -> None:
    process = up(board)
    board.run("ip", "link", "set", INTERFACE, "down", where="edge")
    try:
        board.until(lambda: "5c10" not in board.qdiscs(), 3 * LEASE_S)
        assert process.stdout
        died = json.loads(process.stdout.readline())
        assert died["kind"] in ("DeviceError", "LinkError")
        assert "board" in died["died"]
        assert died["after_s"] < 4 * LEASE_S
    finally:
        board.run("ip", "link", "set", INTERFACE, "up", where="edge")
        process.wait(20)
    assert board.qdiscs() == before
    board.until(lambda: board.commands() == [], 3 * LEASE_S)


@pytest.mark.slow
def test_qdiscs_of_somebody_else_are_refused_by_name_or_put_back(board: SshBoard, before: str) -> None:
    add = ("tc", "qdisc", "add", "dev", INTERFACE, "root", "handle", "77:", "tbf")
    board.run(*add, "rate", "90mbit", "burst", "20kb", "latency", "40ms", where="device")
    theirs = board.qdiscs()
    try:
        assert "tbf 77:" in theirs
        (message,) = refused(board, ("hardware.device.replace_qdisc=false", "tbf 77:"))
        assert "hardware.device.replace_qdisc=true" in message
        assert board.qdiscs() == theirs
        process = up(board, "hardware.device.replace_qdisc=true")
        assert "tbf 77:" not in board.qdiscs()
        (visitor,) = [pid for pid in processes.marked(board.mark) if "remote_visitor" in python_of(pid)]
        os.kill(visitor, signal.SIGKILL)
        process.wait(10)
        board.until(lambda: board.qdiscs() == theirs, 3 * LEASE_S)
    finally:
        board.run("tc", "qdisc", "del", "dev", INTERFACE, "root", where="device")
    assert board.qdiscs() == before


def test_who_cannot_be_reached_or_will_not_do_is_one_line(board: SshBoard, tmp_path: Path) -> None:
    old = board.folder / "old_python"
    answer = {"python": "3.8.10", "missing": [], "ssh_port": 22}
    old.write_text(f"#!/bin/sh\necho 'scissionlite:{json.dumps(answer)}'\n")
    old.chmod(0o755)
    bare = board.folder / "bare_python"
    bare.write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} -I -S "$@"\n')
    bare.chmod(0o755)
    refused(
        board,
        ("hardware.device.host=127.0.0.1", "Connection refused; what must work without a question is: ssh"),
        (f"hardware.device.ssh_config={board.folder / 'wrong_config'}", "Permission denied (publickey)"),
        ("hardware.device.python=/nowhere/python3", "cannot run /nowhere/python3"),
        ("hardware.device.python=/bin/true", "did not answer"),
        (f"hardware.device.python={old}", "Python 3.8.10: allowed is 3.11 or later"),
        (f"hardware.device.python={bare}", "-m pip install tensorflow"),
        ("hardware.device.cpu=1023", "core 1023 is not one of board"),
        ("hardware.edge.cpu=1023", "core 1023 is not one of this process's"),
        ("hardware.edge.address=203.0.113.9", "this host cannot listen there"),
    )


@pytest.mark.slow
def test_an_interface_that_will_not_do_is_one_line(board: SshBoard) -> None:
    refused(
        board,
        ("hardware.device.interface=eth9", f"there is no interface 'eth9' here: allowed are {INTERFACE}"),
        ("hardware.device.interface=lo", f"leave by {INTERFACE}, not by lo"),
    )
