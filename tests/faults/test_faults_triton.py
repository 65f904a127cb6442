"""A Triton that dies at its start, finds its port taken or never serves: one line with its log's reason, in time.

The server is the real one. What is planted is named: a model that fails or hangs, a listener at the edge's port.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from harness.errors import EdgeError
from harness.offloader import triton_server
from harness.testbed import local
from harness.testbed.local import LocalTestbed
from netem import CapabilityError, choose_backend
from tests import processes
from tests.faults.disturbances import EDGE_PORT
from tests.testbed.test_testbed_local import spec

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]

#: FAKE models in place of ours, as Triton's python backend loads them.
FAILING = 'raise RuntimeError("no such luck")\n'
HANGING = "import time\n\ntime.sleep(3600)\n"


class TakenPort(LocalTestbed):
    """Somebody else listens at the edge's port when Triton comes."""

    def _lay_out_edge(self) -> tuple[list[str], dict[str, str]]:
        address = (self.sandbox.address("edge"), EDGE_PORT)
        self._stack.enter_context(self.sandbox.call("edge", lambda: socket.create_server(address)))
        return super()._lay_out_edge()


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    found = f"triton-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv(processes.MARK, found)
    return found


def refusal(bed: LocalTestbed, mark: str, within_s: float) -> str:
    """What entering and loading a testbed comes to; it takes everything down."""
    began_s, files = time.monotonic(), processes.temporary_files()
    with pytest.raises(EdgeError) as caught, bed:
        bed.load()
    assert time.monotonic() - began_s < within_s
    assert processes.marked(mark) == []
    assert processes.temporary_files() <= files
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_dies_at_its_start_says_why(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_server, "_MODEL", FAILING)
    said = refusal(LocalTestbed(spec(), tmp_path), mark, within_s=40)
    assert said.startswith("triton ended with code 1: ")
    assert "no such luck" in said


def test_a_port_that_is_taken_is_said(mark: str, tmp_path: Path) -> None:
    said = refusal(TakenPort(spec(), tmp_path), mark, within_s=40)
    assert said.startswith("triton ended with code ")
    assert f":{EDGE_PORT}" in said
    assert "already in use" in said


@pytest.mark.slow
def test_a_server_that_never_serves_is_waited_for_no_longer_than_told(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_server, "_MODEL", HANGING)
    monkeypatch.setattr(local, "START_TIMEOUT_S", 15.0)
    said = refusal(LocalTestbed(spec(), tmp_path), mark, within_s=60)
    assert "does not serve model 'scission' after 15 s" in said
    assert "; its log ends with: " in said
