"""An edge without memory fails the cell, one that is pestered does not; nor is a second run let in meanwhile."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter

import pytest

from harness.results.records import read_samples
from harness.spec import PROJECT
from tests.faults.conftest import Ready
from tests.faults.disturbances import (
    AS_ROOT,
    REAL_CELLS,
    STUB,
    failed_in_time,
    measuring,
    saying,
    send_garbage,
    starve_stub,
)
from tests.faults.kills import left_behind, status_of, torn
from tests.runs import Sight

pytestmark = [*REAL_CELLS, AS_ROOT]


@pytest.mark.parametrize(
    "doing", ["loading the model on both tiers", "probing the link"], ids=["with no model yet", "before its tails"]
)
def test_an_edge_that_gets_no_memory_fails_the_cell_and_the_next_one_runs(ready: Ready, doing: str) -> None:
    folder = ready.host.tmp / f"starved_{doing.split()[0]}"
    left, run, blow = ready.host.disturb(folder, saying(doing, STUB), starve_stub)
    assert failed_in_time(ready.host, left, run, blow, "") == []
    error = status_of(folder)["error"].lower()
    assert any(part in error for part in ("edge", "stub", "triton")), error
    _, again = ready.host.watch(folder, None)
    assert again.returncode in (0, 3, 4), ready.host.output()[1]


def test_garbage_at_the_edges_port_and_a_second_run_leave_a_measuring_run_alone(ready: Ready) -> None:
    folder, other = ready.host.tmp / "pestered", ready.host.tmp / "second"
    sent, refused = [], []

    def pester(sight: Sight) -> None:
        refused.append(
            subprocess.run(ready.host.command(other), cwd=PROJECT, capture_output=True, text=True, check=False)
        )
        sent.append(send_garbage(sight, random.Random(1)))

    left, run, blow = ready.host.disturb(folder, measuring, pester, arguments=["measure.samples=6"])
    assert blow is not None
    assert sent[0] >= 10
    assert run.returncode in (0, 3, 4), ready.host.output()[1]
    assert status_of(folder)["status"] == "ok"
    assert left_behind(left) + torn(folder) == []
    assert set(Counter(sample.key for sample in read_samples(folder)).values()) == {6}

    (line,) = refused[0].stderr.splitlines()
    assert refused[0].returncode == 1
    assert f"another run is measuring on this host, process {run.pid} (" in line
    assert json.loads((other / "status.json").read_text())["status"] == "failed"
