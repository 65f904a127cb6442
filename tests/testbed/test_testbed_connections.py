"""Requests on a new connection and after a silence, over a real link to a real Triton, against theory."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from harness.errors import CapabilityError
from harness.offloader.runner import Request, Runner, echo
from harness.prediction.link_theory import State, uplink_ms
from harness.spec import PROJECT, Spec
from harness.testbed.local import LocalTestbed

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]

#: Forty-two segments: three rounds from the initial window, whatever else the connection has carried.
SIZE = 60_000
PAUSE_MS = 1_000.0


@pytest.fixture(scope="module")
def uplinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[float, LocalTestbed]]]:
    """Median uplink of an echo by connection, on a link where a silence closes the window."""
    overrides = ["model=mobilenetv2", "hardware=local", "bandwidth=57", "latency=28"]
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        spec = Spec.from_config(compose("config", [*overrides, "link.tcp.slow_start_after_idle=true"]))
    testbed = LocalTestbed(spec, tmp_path_factory.mktemp("logs"))
    try:
        testbed.__enter__()
    except CapabilityError as error:
        pytest.skip(str(error))
    try:
        testbed.load()
        runner = Runner(testbed.agent, testbed.trace, request_timeout_s=60)
        runner.warm([echo(800_000)] * 5)
        kinds = {kind: echo(SIZE, kind, PAUSE_MS, restarts=True) for kind in ("warm", "new", "idle")}
        found: dict[Request, list[float]] = {}
        for request, sample in runner.rounds(list(kinds.values()), 5, seed=0):
            found.setdefault(request, []).append(sample.terms["uplink"])
        yield {kind: (median(found[request]), testbed) for kind, request in kinds.items()}
    finally:
        testbed.__exit__(None, None, None)


@pytest.mark.parametrize("state", ["warm", "idle", "new"])
def test_an_uplink_is_that_of_its_state(uplinks: dict[str, tuple[float, LocalTestbed]], state: State) -> None:
    measured_ms, testbed = uplinks[state]
    theory_ms = uplink_ms(testbed.link, np.array([float(SIZE)]), state=state, silence_ms=PAUSE_MS + 115)[0]
    assert 0.9 * theory_ms <= measured_ms <= 1.10 * theory_ms + 8


def test_a_silence_costs_round_trips_and_a_new_connection_more(
    uplinks: dict[str, tuple[float, LocalTestbed]],
) -> None:
    warm, idle, new = (uplinks[state][0] for state in ("warm", "idle", "new"))
    rtt_ms = uplinks["warm"][1].link.rtt_ms
    assert idle > warm + rtt_ms
    assert new > idle + 1.5 * rtt_ms
