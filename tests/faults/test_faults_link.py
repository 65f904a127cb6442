"""Something befalls the link of a running cell: the cell ends in time and says what it was, and the next one runs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from netem import choose_backend
from tests.faults import disturbances
from tests.faults.conftest import Ready
from tests.faults.disturbances import AS_ROOT, REAL_CELLS, failed_in_time, measuring
from tests.faults.kills import left_behind, misreported, status_of, torn
from tests.runs import Sight

pytestmark = [*REAL_CELLS, AS_ROOT]

#: What is done, and what the error then names.
FAULTS: dict[str, tuple[Callable[[Sight], None], str]] = {
    "taken down": (disturbances.take_link_down, "uplink0"),
    "losing all": (disturbances.lose_every_frame, "nothing comes back over the link"),
    "frozen": (disturbances.freeze_relay, "the relay is silent"),
}


def patience(seconds: int) -> tuple[str, str]:
    """Less than the default of a minute: a request of this cell takes less than a second."""
    return f"measure.timeout_s={seconds}", f"communicator.timeout_s={seconds}"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cell_whose_link_fails_says_so_and_the_next_one_runs(ready: Ready, fault: str) -> None:
    act, cause = FAULTS[fault]
    if act is disturbances.freeze_relay and choose_backend() != "relay":
        pytest.skip("the kernel itself delays: there is no relay")
    folder = ready.host.tmp / fault.replace(" ", "_")
    left, run, blow = ready.host.disturb(folder, measuring, act, arguments=patience(8))
    assert failed_in_time(ready.host, left, run, blow, cause) == []
    _, again = ready.host.watch(folder, None)
    assert again.returncode in (0, 3, 4), ready.host.output()[1]
    assert status_of(folder)["status"] == "ok"


def test_a_link_of_one_megabit_a_second_in_mid_request_is_told(ready: Ready) -> None:
    """Slow, the cell may well end; but it does not pass for one over the link that was asked for."""
    folder = ready.host.tmp / "slow"
    left, run, blow = ready.host.disturb(folder, measuring, disturbances.slow_link_down, arguments=patience(30))
    assert blow is not None
    assert left_behind(left) + torn(folder) == []
    if run.returncode == 1:
        error = status_of(folder)["error"]
        assert misreported(status_of(folder), "") == []
        assert any(word in error.lower() for word in ("uplink0", "deadline", "within")), error
    else:
        assert run.returncode in (0, 3, 4), ready.host.output()[1]
        notes = json.loads((folder / "env.json").read_text())["notes"]
        assert any(note.startswith("not comparable: qdiscs uplink0 of the device") for note in notes), notes
