"""The ranking on the screen."""

from __future__ import annotations

import io

from harness.prediction.constraints import Breach
from harness.prediction.ranking import Objective, rank
from harness.report.ranking import print_ranking
from harness.results.schema import Key, Row

ROWS = [
    Row(Key("split", 51, "maxpool"), payload_bytes=401_536, forecast_ms=189.3),
    Row(Key("device-only"), forecast_ms=389.3),
    Row(Key("split", 1, "maxpool"), payload_bytes=158_828, forecast_ms=127.4),
]
BREACH = Breach("min_split", 4, "layers", 0.01, "cut 1 < constraints.min_split 5")


def shown(breaches: list[tuple[Breach, ...]], objective: Objective = "latency") -> list[str]:
    file = io.StringIO()
    print_ranking(rank(ROWS, breaches, objective=objective), file=file)
    return [" ".join(line.split()) for line in file.getvalue().splitlines() if line.strip()]


def test_feasible_ones_come_first_then_near_misses_with_what_they_break() -> None:
    lines = shown([(), (), (BREACH,)])
    assert lines[0] == "Ranking by latency"
    assert lines[-4:-1] == [
        "1 split 51 maxpool 189.3 401.5",
        "2 device-only 389.3 0.0",
        "(1) split 1 maxpool 127.4 158.8 cut 1 < min_split 5",
    ]
    assert lines[-1].startswith("2 of 3 candidates are feasible; the best by latency is split/51/maxpool/float32")


def test_that_nothing_is_feasible_is_one_sentence() -> None:
    lines = shown([(BREACH,)] * 3)
    assert lines[-1].startswith("No candidate is feasible: each of the 3 breaks a constraint")


def test_weights_show_a_score() -> None:
    lines = shown([(), (), ()], {"latency": 0.5, "payload": 0.5})
    assert lines[0] == "Ranking by 0.5 latency + 0.5 payload"
    assert lines[-4] == "1 split 1 maxpool 127.4 158.8 1.000"
