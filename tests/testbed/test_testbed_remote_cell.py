"""A whole cell on a board behind ssh: profiled there, measured over its shaped interface, validated, reported; and one
whose network dies while it measures."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.netem.plain_veth import INTERFACE
from tests.testbed.ssh_board import SshBoard

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton, pytest.mark.slow]

LEASE_S = 4
CELL = (
    "model=mobilenetv2",
    "measure.splits=[35,80]",
    "measure.warmup=2",
    "measure.landmarks_none=false",
    "profile.rounds=2",
    "profile.warmup=1",
    "link.backend=rate-only",
    "latency=0",
    "bandwidth=20",
    f"hardware.device.lease_s={LEASE_S}",
)


def cell(board: SshBoard, folder: Path, *overrides: str) -> list[str]:
    return [sys.executable, "run.py", *board.overrides(*CELL, f"hydra.run.dir={folder}", *overrides)]


def read(folder: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / name).read_text())
    return record


@pytest.fixture(scope="module")
def before(board: SshBoard) -> str:
    return board.qdiscs()


@pytest.fixture(scope="module")
def measured(board: SshBoard, before: str) -> Path:
    folder = board.folder / "cell"
    done = board.run(*cell(board, folder, "measure.samples=4"), timeout_s=500)
    assert done.returncode in (0, 3, 4), done.stderr[-3000:]
    return folder


def test_a_cell_is_measured_and_says_what_it_was_measured_on(board: SshBoard, measured: Path) -> None:
    assert read(measured, "status.json")["status"] == "ok"
    summary, env = read(measured, "summary.json"), read(measured, "env.json")
    assert "remote (board)" in summary["title"]
    assert summary["unavailable_terms"] == ["uplink", "downlink"]
    assert summary["link"]["backend"] == env["testbed"]["backend"] == "rate-only"
    assert env["testbed"]["interface"] == INTERFACE
    assert env["board"]["versions"]["tensorflow"]
    assert summary["mape"] < 0.25
    assert not [reason for reason in summary["reasons"] if "missing" in reason or "other is" in reason]


def test_clocks_of_two_hosts_are_never_subtracted(measured: Path) -> None:
    lines = (measured / "samples.jsonl").read_text().splitlines()
    sent = [each for each in map(json.loads, lines) if each["candidate"] != "device-only"]
    assert sent
    with (measured / "splits.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["measured_ms"]]
    for row in rows:
        assert row["uplink_measured_ms"] == row["downlink_measured_ms"] == ""
        if row["candidate"] != "device-only":
            assert float(row["queue_measured_ms"]) > 0
            assert row["other_measured_ms"] == ""
            # What the link takes at least: the payload at its rate.
            assert float(row["network_measured_ms"]) > 0.98 * int(row["payload_bytes"]) * 8 / 20e3


def test_a_profile_is_the_boards_own_and_predicts_without_it(board: SshBoard, measured: Path) -> None:
    folder = board.folder / "predicted"
    done = board.run(*cell(board, folder, "mode=predict", "hardware.device.lease_s=9"), timeout_s=120)
    assert done.returncode == 0, done.stderr[-2000:]
    done = board.run(*cell(board, folder, "mode=predict", "hardware.device.host=other"), timeout_s=120)
    assert done.returncode == 2
    assert "needs a profile" in done.stderr


def test_afterwards_the_board_is_as_before(board: SshBoard, before: str, measured: Path) -> None:
    assert board.qdiscs() == before
    assert board.commands() == []


def test_a_network_that_dies_while_measuring_is_a_failed_cell_with_its_reason(board: SshBoard, before: str) -> None:
    folder = board.folder / "cut"
    process = board.popen(
        *cell(board, folder, "measure.samples=300"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    samples = folder / "samples.jsonl"
    board.until(lambda: samples.exists() and len(samples.read_text().splitlines()) > 3, 300)
    board.run("ip", "link", "set", INTERFACE, "down", where="device")
    try:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        status = read(folder, "status.json")
        assert (status["status"], status["exit_code"]) == ("failed", 1)
        assert "board" in status["error"]
        assert "\n" not in status["error"]
        assert status["error"] in errors.decode()
        board.until(lambda: "5c10:" not in board.qdiscs(), 3 * LEASE_S)
        assert len(samples.read_text().splitlines()) > 3
    finally:
        board.run("ip", "link", "set", INTERFACE, "up", where="device")
    board.until(lambda: board.commands() == [], 3 * LEASE_S)
    assert board.qdiscs() == before
