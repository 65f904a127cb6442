"""The ranking: feasible candidates by the objective, near misses by how near they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.prediction.constraints import Breach
from harness.prediction.ranking import Ranking, rank
from harness.results.schema import Key, Row


def row(split: int, ms: float | None, payload: int) -> Row:
    return Row(Key("split", split, "maxpool"), payload_bytes=payload, forecast_ms=ms)


def breach(share: float) -> Breach:
    return Breach("max_latency_ms", share * 100, "ms", share, f"latency over by {share:g}")


FAST, SMALL, MIDDLE = row(1, 100.0, 9_000), row(2, 200.0, 1_000), row(3, 120.0, 2_000)
ROWS = [MIDDLE, SMALL, FAST, row(4, None, 10)]
NONE: list[tuple[Breach, ...]] = [(), (), (), ()]


def order(ranking: Ranking) -> list[int | None]:
    return [place.key.split for place in ranking.feasible]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("latency", [1, 3, 2]),
        ("payload", [2, 3, 1]),
        ({"latency": 1.0}, [1, 3, 2]),
        ({"payload": 2.0}, [2, 3, 1]),
        ({"latency": 0.7, "payload": 0.3}, [3, 2, 1]),  # 0.84 + 0.6, 1.4 + 0.3, 0.7 + 2.7
    ],
)
def test_the_order_is_by_the_objective(objective: str | dict[str, float], expected: list[int]) -> None:
    ranking = rank(ROWS, NONE, objective=objective)  # type: ignore[arg-type]
    assert order(ranking) == expected
    assert [place.rank for place in ranking.feasible] == [1, 2, 3]
    assert ranking.near_misses == ()


def test_a_weighted_score_is_relative_to_the_best_feasible_one_of_each() -> None:
    ranking = rank(ROWS, [(), (breach(0.1),), (), ()], objective={"latency": 0.7, "payload": 0.3})
    # 100 ms is the best latency, 2000 B the smallest payload of the feasible ones
    assert {place.key.split: place.score for place in ranking.feasible} == pytest.approx(
        {3: 0.7 * 1.2 + 0.3, 1: 0.7 + 0.3 * 4.5}
    )
    assert ranking.near_misses[0].score == pytest.approx(0.7 * 2 + 0.3 * 0.5)


def test_device_only_sends_nothing_and_no_payload_divides_by_it() -> None:
    rows = [Row(Key("device-only"), forecast_ms=100.0), SMALL]
    ranking = rank(rows, [(), ()], objective={"latency": 1.0, "payload": 1.0})
    assert [(place.payload_bytes, place.score) for place in ranking.feasible] == [(0, 1.0), (1_000, 3.0)]


def test_near_misses_come_nearest_first_with_what_they_break() -> None:
    ranking = rank(ROWS, [(breach(0.5),), (breach(0.2), breach(0.1)), (breach(0.5),), ()])
    assert [place.key.split for place in ranking.near_misses] == [2, 1, 3]  # of equally near ones the faster
    assert ranking.feasible == ()
    assert ranking.sentence.startswith("No candidate is feasible: each of the 3 breaks a constraint; the nearest is ")
    assert "split/2/maxpool/float32 (latency over by 0.2; latency over by 0.1)" in ranking.sentence
    record = json.loads(json.dumps(ranking.as_dict()))
    assert [each["by"] for each in record["near_misses"][0]["breaks"]] == [pytest.approx(20), pytest.approx(10)]


def test_top_cuts_both_lists_and_counts_all() -> None:
    rows = [row(split, float(split), 1) for split in range(1, 31)]
    ranking = rank(rows, [() if place < 20 else (breach(1.0),) for place in range(30)], top=3)
    assert (len(ranking.feasible), len(ranking.near_misses)) == (3, 3)
    assert (ranking.feasible_count, ranking.near_miss_count) == (20, 10)
    assert "20 of 30 candidates are feasible; the best by latency is split/1/maxpool/float32" in ranking.sentence


def test_nothing_to_rank_is_said() -> None:
    assert rank([row(1, None, 1)], [()]).sentence == "There is no candidate: nothing could be predicted."


@given(
    st.lists(st.tuples(st.floats(0.1, 1e4), st.integers(0, 10**7), st.booleans()), max_size=30),
    st.floats(0, 10),
    st.floats(0.01, 10),
)
def test_every_candidate_is_ranked_once_and_scores_rise(
    values: list[tuple[float, int, bool]], latency: float, payload: float
) -> None:
    rows = [row(place, ms, size) for place, (ms, size, _) in enumerate(values)]
    breaches = [() if allowed else (breach(1.0),) for _, _, allowed in values]
    ranking = rank(rows, breaches, objective={"latency": latency, "payload": payload}, top=100)
    places = ranking.feasible + ranking.near_misses
    assert {place.key for place in places} == {own.key for own in rows}
    for kind in (ranking.feasible, ranking.near_misses):
        assert [place.score for place in kind] == sorted(place.score for place in kind)
