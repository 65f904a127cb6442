"""Ctrl-C on the terminal of a run, at a random moment: interrupted, 130, nothing left, what was measured readable."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from harness.results.records import read_samples
from tests.faults.conftest import Ready
from tests.faults.disturbances import REAL_CELLS, measuring
from tests.faults.kills import NOTICED_WITHIN_S, left_behind, status_of, torn
from tests.runs import Sight

pytestmark = [
    *REAL_CELLS,
    pytest.mark.skipif(shutil.which("setsid") is None, reason="needs util-linux for a terminal of its own"),
]

#: An impatient user's; closer together they would be one signal.
BETWEEN_S = 0.15


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """What is typed into the first is read, and its Ctrl-C felt, by who has the second as its terminal."""
    ours, theirs = os.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def begun(sight: Sight) -> bool:
    return (sight.folder / "spec.yaml").exists()


@pytest.mark.parametrize(
    ("times", "when", "seed"), [(1, begun, 1), (1, measuring, 2), (3, begun, 3), (3, measuring, 4)]
)
def test_ctrl_c_ends_a_run_at_any_moment(
    ready: Ready, terminal: tuple[int, int], times: int, when: Callable[[Sight], bool], seed: int
) -> None:
    folder = ready.host.tmp / f"interrupted-{seed}"
    # A measuring run has its last third before it.
    later_s = random.Random(seed).uniform(0, (0.6 if when is begun else 0.1) * ready.usual_s)

    def press(sight: Sight) -> None:
        time.sleep(later_s)
        sight.look()
        for _ in range(times):
            os.write(terminal[0], b"\x03")
            time.sleep(BETWEEN_S)

    left, run, blow = ready.host.disturb(folder, when, press, prefix=("setsid", "--ctty"), stdin=terminal[1])
    _, said = ready.host.output()
    assert blow is not None
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("error: ") == said.count("error: interrupted")
    assert 1 <= said.count("error: ") <= times
    assert time.monotonic() - blow.at_s - later_s < NOTICED_WITHIN_S
    assert left_behind(left) + torn(folder) == []
    assert len(read_samples(folder)) >= (1 if when is measuring else 0)
    status = status_of(folder)
    # Whoever asks three times is not kept waiting, whatever is being written.
    assert status.get("status", "interrupted" if times == 3 else "") == "interrupted"
