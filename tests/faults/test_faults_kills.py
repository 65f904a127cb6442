"""Every part of a running cell is killed: the cell says so in time, loses nothing, leaves nothing; the next one runs.

`python experiments/kills.py` does the same 20 times a part.
"""

from __future__ import annotations

import json

import pytest

from tests.faults.conftest import Ready
from tests.faults.disturbances import REAL_CELLS
from tests.faults.kills import PARTS, kill

pytestmark = REAL_CELLS


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_cell_that_loses_a_part_says_so_and_the_next_one_runs(ready: Ready, part: str, seed: int) -> None:
    folder = ready.host.tmp / f"{part.replace(' ', '_')}-{seed}"
    outcome = kill(ready.host, folder, part, ready.usual_s, seed)
    assert outcome.wrong == [], outcome
    _, again = ready.host.watch(folder, None)
    assert again.returncode in (0, 3, 4), ready.host.output()[1]
    assert json.loads((folder / "status.json").read_text())["status"] == "ok"
