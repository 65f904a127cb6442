"""Constraints: what breaks which, by how much, and what becomes of the rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction.constraints import Breach, Facts, apply, judge, model_facts, require
from harness.results.schema import Key, Row
from harness.spec.constraints import Constraints
from harness.validation.statistics import best_split, is_split
from tests.prediction.synthetic_world import World

NOTHING: dict[str, Any] = {
    "min_split": 0,
    "max_split": None,
    "device_layers": [],
    "edge_layers": [],
    "not_device_layers": [],
    "not_edge_layers": [],
    "tier": {"device": None, "edge": None},
    "max_upload_bytes": None,
    "max_latency_ms": None,
    "max_device_ms": None,
    "max_edge_ms": None,
    "max_device_share": None,
    "max_edge_share": None,
    "max_device_memory_bytes": None,
    "max_leakage": None,
    "objective": "latency",
}
FACTS = Facts(
    last=100,
    layers={"early": 10, "late": 60},
    head_peak_bytes={10: 5_000, 60: 8_000, 100: 8_000},
    systems={"device": ("tx2_gpu", "gpu_device-gpu_edge"), "edge": ("ampere",)},
    leakage={(10, "maxpool"): 0.9, (10, "none"): 0.95, (60, "maxpool"): 0.4},
)


def constraints(**given: Any) -> Constraints:
    return Constraints.model_validate({**NOTHING, **given})


def row(split: int | None, *, candidate: str = "split", payload: int | None = 1_000, **terms: float) -> Row:
    key = Key(candidate) if split is None else Key(candidate, split, "maxpool")
    own = Row(key, payload_bytes=payload, predicted_terms=terms)
    own.forecast_ms = sum(terms.values()) if terms else None
    return own


EARLY = row(10, payload=4_000, device=10.0, serialize=1.0, uplink=30.0, edge_tl=1.0, edge=58.0)
LATE = row(60, payload=1_000, device=60.0, device_tl=2.0, uplink=20.0, queue=1.0, edge=17.0)
LOCAL = row(None, candidate="device-only", payload=None, device=150.0)
PICTURE = row(None, candidate="edge-only", payload=6_000, serialize=1.0, uplink=40.0, edge=59.0)
ROWS = [LOCAL, PICTURE, EARLY, LATE]


def broken(**given: Any) -> dict[str, list[tuple[str, float]]]:
    """By candidate, what it breaks and by how much."""
    names = ("device-only", "edge-only", "early", "late")
    return {
        name: [(breach.constraint, pytest.approx(breach.by)) for breach in own]
        for name, own in zip(names, judge(ROWS, constraints(**given), FACTS), strict=True)
        if own
    }


def test_no_constraint_rules_nothing_out() -> None:
    assert broken() == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"min_split": 12}, {"edge-only": [("min_split", 12)], "early": [("min_split", 2)]}),
        ({"max_split": 59}, {"device-only": [("max_split", 41)], "late": [("max_split", 1)]}),
        ({"device_layers": ["early", 11]}, {"edge-only": [("device_layers", 11)], "early": [("device_layers", 1)]}),
        ({"not_edge_layers": [10]}, {"edge-only": [("not_edge_layers", 10)]}),
        ({"edge_layers": ["late"]}, {"device-only": [("edge_layers", 41)], "late": [("edge_layers", 1)]}),
        ({"not_device_layers": [61, 80]}, {"device-only": [("not_device_layers", 40)]}),
        ({"max_upload_bytes": 3_999}, {"edge-only": [("max_upload_bytes", 2_001)], "early": [("max_upload_bytes", 1)]}),
        ({"max_latency_ms": 100.0}, {"device-only": [("max_latency_ms", 50)]}),
        ({"max_device_ms": 61.0}, {"device-only": [("max_device_ms", 89)], "late": [("max_device_ms", 1)]}),
        ({"max_edge_ms": 58.5}, {"edge-only": [("max_edge_ms", 0.5)], "early": [("max_edge_ms", 0.5)]}),
        ({"max_device_share": 0.62}, {"device-only": [("max_device_share", 0.38)]}),
        ({"max_edge_share": 0.59}, {}),
        ({"max_edge_share": 0.5}, {"edge-only": [("max_edge_share", 0.09)], "early": [("max_edge_share", 0.09)]}),
        (
            {"max_device_memory_bytes": 5_000},
            {"device-only": [("max_device_memory_bytes", 3_000)], "late": [("max_device_memory_bytes", 3_000)]},
        ),
        ({"max_leakage": 0.5}, {"edge-only": [("max_leakage", 0.5)], "early": [("max_leakage", 0.4)]}),
        ({"max_leakage": 1.0}, {}),
        ({"tier": {"device": "tx2_gpu", "edge": "ampere"}}, {}),
        ({"tier": {"device": "gpu_device-gpu_edge", "edge": None}}, {}),
        (
            {"tier": {"device": None, "edge": "titan_cpu"}},
            {name: [("tier.edge", 1)] for name in ("edge-only", "early", "late")},
        ),
        (
            {"min_split": 12, "max_upload_bytes": 3_000},
            {
                "edge-only": [("min_split", 12), ("max_upload_bytes", 3_000)],
                "early": [("min_split", 2), ("max_upload_bytes", 1_000)],
            },
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) and "objective" not in value else None,
)
def test_a_constraint_is_broken_by_so_much(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert broken(**given) == expected


def test_a_breach_says_what_how_much_and_of_which_limit() -> None:
    ((breach,),) = judge([EARLY], constraints(max_upload_bytes=1_000), FACTS)
    assert breach == Breach(
        "max_upload_bytes", 3_000, "bytes", 3.0, "payload 4000 B > constraints.max_upload_bytes 1000"
    )


def test_a_row_without_prediction_breaks_nothing() -> None:
    assert judge([row(5)], constraints(min_split=9), FACTS) == [()]


@given(st.integers(0, 120), st.integers(0, 120), st.integers(0, 200), st.integers(0, 8_000))
def test_whatever_the_limits_what_is_broken_is_what_exceeds_them(low: int, width: int, ms: int, size: int) -> None:
    given_limits = constraints(min_split=low, max_split=low + width, max_latency_ms=ms + 0.5, max_upload_bytes=size)
    cuts = {"device-only": 100, "edge-only": 0, "split": None}
    for own, breaches in zip(ROWS, judge(ROWS, given_limits, FACTS), strict=True):
        cut = cuts[own.key.candidate] if own.key.split is None else own.key.split
        assert cut is not None
        assert own.forecast_ms is not None
        expected = {
            "min_split": low - cut,
            "max_split": cut - low - width,
            "max_latency_ms": own.forecast_ms - ms - 0.5,
            "max_upload_bytes": (own.payload_bytes or 0) - size,
        }
        assert {breach.constraint: breach.by for breach in breaches} == pytest.approx(
            {name: by for name, by in expected.items() if by > 0}
        )
        assert all(breach.share > 0 for breach in breaches)


def fresh() -> list[Row]:
    return [Row(own.key, payload_bytes=own.payload_bytes, forecast_ms=own.forecast_ms) for own in ROWS]


def test_only_the_minimum_cut_leaves_a_split_possible_for_smaller_ones() -> None:
    rows = fresh()
    apply(rows, judge(rows, constraints(min_split=20), FACTS))
    assert [own.feasible for own in rows] == [True, True, False, True]  # the baselines stay, to be compared with
    assert rows[2].infeasible_because == "cut 10 < constraints.min_split 20"
    assert is_split(rows[2], 0)
    assert not is_split(rows[2], 20)


def test_what_breaks_more_than_the_minimum_cut_is_no_split_at_all() -> None:
    rows = fresh()
    apply(rows, judge(rows, constraints(min_split=20, max_upload_bytes=2_000), FACTS))
    assert rows[2].infeasible_because == "payload 4000 B > constraints.max_upload_bytes 2000"
    assert not is_split(rows[2], 0)
    assert [own.feasible for own in rows] == [True, False, False, True]
    best = best_split(rows, lambda own: own.forecast_ms, 0)
    assert best is not None
    assert best.key == LATE.key


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"device_layers": ["erly"]}, "no layer 'erly' is known by that name; allowed: the 2 layers that end at a cut"),
        ({"device_layers": ["erly"]}, "did you mean 'early'?"),
        ({"not_edge_layers": [101]}, "constraints.not_edge_layers: no layer 101; allowed: Keras indices from 0 to 100"),
    ],
)
def test_a_layer_that_the_model_does_not_have_is_one_line(given: dict[str, Any], part: str) -> None:
    with pytest.raises(SpecError) as caught:
        require(constraints(**given), FACTS)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_limit_on_memory_that_nobody_knows_is_one_line() -> None:
    with pytest.raises(SpecError, match="this profile knows no memory"):
        judge(ROWS, constraints(max_device_memory_bytes=1), Facts(last=100))


def test_the_facts_of_a_profile() -> None:
    profile = World(cuts=4).profiles().device
    peaks = [100, 200, 300, 400]
    facts = model_facts(profile, systems={"device": ("iiot",)}, head_peak_bytes=peaks)
    assert facts.last == profile.last
    assert facts.layers["layer_2"] == profile.cuts[2].index
    assert list(facts.head_peak_bytes.values()) == [*peaks, 400]  # the whole model needs what its longest head does
    assert set(model_facts(profile, systems={}).head_peak_bytes) == {*(cut.index for cut in profile.cuts), profile.last}


def test_a_limit_on_what_nobody_measured_is_refused_and_says_how_to_measure_it() -> None:
    with pytest.raises(SpecError, match=r"max_leakage=0\.5.*mode=profile leakage\.enabled=true") as caught:
        judge(ROWS, constraints(max_leakage=0.5), Facts(last=100))
    assert "\n" not in str(caught.value)
    ((breach,),) = judge([EARLY], constraints(max_leakage=0.5), FACTS)
    assert breach.text == "leakage 0.9 > constraints.max_leakage 0.5"
