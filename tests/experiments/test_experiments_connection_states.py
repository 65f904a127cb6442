"""The table of connection states on a link whose truth is known."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import connection_states
from harness.offloader.runner import Request, echo, measure
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.profile import Calibration
from harness.results.schema import Key, Sample
from netem import LinkSpec, TcpPolicy

LINK = LinkSpec(57, 1000, 14, 14, burst_bytes=3028, tcp=TcpPolicy("cubic", slow_start_after_idle=True))
KEY = Key("split", 7, "maxpool")
EXCESS = (1.0, 2e-6)
QUEUE_MS, DOWN_MS, OTHER_MS, EDGE_MS = 0.5, 0.7, 0.2, 12.0


@pytest.fixture
def constants() -> connection_states.Constants:
    echoes = {size: {"uplink_excess": EXCESS[0] + EXCESS[1] * size, "queue": QUEUE_MS} for size in (1, 60_000, 400_000)}
    return connection_states.Constants.of(
        Calibration(
            fingerprint={},
            anchors={str(KEY): {"device": 20.0, "edge": EDGE_MS}},
            echoes=echoes,
            downlink_excess_ms=DOWN_MS,
            other_ms=OTHER_MS,
            response_bytes=4_150,
            compute_spread=0.0,
            network_spread_ms=0.0,
            compute_tail=0.0,
            network_tail_ms=0.0,
            link=LINK.as_dict(),
        )
    )


def samples(request: Request, size: int, constants: connection_states.Constants, factor: float = 1.0) -> list[Sample]:
    """What the truth of the fixture gives, all the same."""
    compute = 20.0 + EDGE_MS if request.kind == "measure" else 0.0
    rest = compute + QUEUE_MS + downlink_ms(LINK, 4_150) + DOWN_MS + OTHER_MS
    idle_ms = connection_states.ECHO_IDLE_MS if request.kind == "echo" else connection_states.REQUEST_IDLE_MS
    theory = uplink_ms(
        LINK,
        np.array([float(size)]),
        state="new" if request.connection == "new" else "idle",
        silence_ms=rest + request.pause_ms + idle_ms,
    )
    up = (float(theory[0]) + EXCESS[0] + EXCESS[1] * size) * factor
    return [Sample(KEY, order, rest + up, {"uplink": up}, OTHER_MS) for order in range(3)]


@pytest.mark.parametrize("connection", ["new", "idle"])
@pytest.mark.parametrize("size", [10_000, 700_000])
def test_the_truth_is_predicted(constants: connection_states.Constants, connection: str, size: int) -> None:
    for request in (echo(size, connection, 1000), measure(KEY, connection, 1000)):
        row = connection_states.outcome(LINK, constants, request, size, samples(request, size, constants))
        assert row.error == pytest.approx(0, abs=1e-9)
        assert row.uplink_error == pytest.approx(0, abs=1e-9)
        assert row.state == connection
        late = connection_states.outcome(LINK, constants, request, size, samples(request, size, constants, 1.25))
        assert late.uplink_error == pytest.approx(-0.2)


def test_rows_come_out_as_they_went_in(constants: connection_states.Constants, tmp_path: Path) -> None:
    request = echo(10_000, "new")
    row = connection_states.outcome(LINK, constants, request, 10_000, samples(request, 10_000, constants))
    other = replace(row, control="bbr", state="idle", window=None, error=-0.31)
    asked = Namespace(model="mobilenetv2", bandwidth=57.0, latency=28.0, keep_window=False, folder=tmp_path / "cells")
    assert connection_states.record(asked, [row], tmp_path) == [row]
    assert connection_states.record(asked, [other], tmp_path) == [row, other]
    assert connection_states.record(Namespace(**{**vars(asked), "latency": 50.0}), [row], tmp_path) == [row]
    connection_states.record(asked, [], tmp_path)
    text = (tmp_path / "connection_states.md").read_text(encoding="utf-8")
    assert "| bbr | idle | echo 10000 | 10000 | open |" in text
    assert "bbr, idle: 0 of 1 within 5%; worst -31.0%" in text
    assert "cubic, new: 1 of 1 within 5%" in text


def test_candidates_are_spread_over_the_cuts_and_carry_their_bytes() -> None:
    cuts = [{"index": 3 * place, "shape": [24, 24, 8] if place < 8 else [40]} for place in range(9)]
    chosen = connection_states.candidates(cuts)
    assert chosen == {
        Key("split", 3, "maxpool"): 12 * 12 * 8 * 4,
        Key("split", 12, "maxpool"): 12 * 12 * 8 * 4,
        Key("split", 21, "maxpool"): 12 * 12 * 8 * 4,
    }
    (flat,) = set(connection_states.candidates([cuts[-1]]).items())
    assert flat == (Key("split", 24, "none"), 160)
