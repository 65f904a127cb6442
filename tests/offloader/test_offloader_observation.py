"""From clock readings to terms: each from its own two readings, and nothing lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.offloader.observation import Observation, ServerTimes, sample_of
from harness.results.schema import TERMS, Key, Sample

#: Clock readings of one request in the order in which they are taken.
MARKS = (
    "started",
    "head",
    "shrunk",
    "handed",
    "complete",
    "called",
    "ready",
    "expanded",
    "done",
    "answered",
    "parsed",
)
gaps = st.lists(st.integers(0, 10**9), min_size=len(MARKS), max_size=len(MARKS))
SENT = {"serialize", "uplink", "queue", "deserialize", "edge", "downlink"}


def observed(gaps_ns: list[int], kind: str, name: str) -> tuple[Observation, ServerTimes, dict[str, int]]:
    at = dict(zip(MARKS, itertools.accumulate(gaps_ns, initial=10**12 + gaps_ns[0]), strict=False))
    observation = Observation(
        kind=kind,
        name=name,
        order=7,
        request_id="r-7",
        started_ns=at["started"],
        head_ns=at["head"],
        shrunk_ns=at["shrunk"],
        handed_ns=at["handed"],
        edge_ns=(at["called"], at["ready"], at["expanded"], at["done"]),
        parsed_ns=at["parsed"],
        response_bytes=4_150,
        top_class=3,
    )
    return observation, ServerTimes(at["complete"], at["answered"]), at


def check_closed(sample: Sample, at: dict[str, int]) -> None:
    assert sample.total_ms == (at["parsed"] - at["started"]) / 1e6
    assert sum(sample.terms.values()) + sample.other_ms == pytest.approx(sample.total_ms, abs=1e-9)
    assert list(sample.terms) == [term for term in TERMS if term in sample.terms]


@given(gaps)
def test_a_split_has_every_term_each_from_its_own_readings(gaps_ns: list[int]) -> None:
    observation, server, at = observed(gaps_ns, "measure", "split/7/maxpool/float32")
    sample = sample_of(observation, server)
    assert (sample.key, sample.order) == (Key("split", 7, "maxpool"), 7)
    expected = {
        "device": ("started", "head"),
        "device_tl": ("head", "shrunk"),
        "serialize": ("shrunk", "handed"),
        "uplink": ("handed", "complete"),
        "queue": ("complete", "called"),
        "deserialize": ("called", "ready"),
        "edge_tl": ("ready", "expanded"),
        "edge": ("expanded", "done"),
        "downlink": ("answered", "parsed"),
    }
    assert sample.terms == {term: (at[end] - at[start]) / 1e6 for term, (start, end) in expected.items()}
    assert sample.other_ms == pytest.approx((at["answered"] - at["done"]) / 1e6, abs=1e-9)
    check_closed(sample, at)


@given(gaps)
def test_terms_that_a_candidate_lacks_are_absent(gaps_ns: list[int]) -> None:
    def terms(name: str, kind: str = "measure") -> set[str]:
        observation, server, at = observed(gaps_ns, kind, name)
        sample = sample_of(observation, server)
        check_closed(sample, at)
        return set(sample.terms)

    assert terms("split/7/none/float32") == SENT | {"device"}
    assert terms("edge-only/jpeg") == SENT
    assert terms("split/7/maxpool/float32", "anchor") == set(TERMS)
    assert terms("60000", "echo") == SENT


@given(gaps)
def test_without_the_servers_clock_the_network_is_what_is_left(gaps_ns: list[int]) -> None:
    observation, _, at = observed(gaps_ns, "measure", "split/7/maxpool/float32")
    sample = sample_of(observation, None)
    assert not {"uplink", "queue", "downlink"} & set(sample.terms)
    check_closed(sample, at)


@given(gaps, st.integers(-(10**15), 10**15))
def test_clocks_of_two_hosts_are_not_subtracted(gaps_ns: list[int], apart_ns: int) -> None:
    observation, server, at = observed(gaps_ns, "measure", "split/7/maxpool/float32")
    elsewhere = Observation.from_dict(
        observation.as_dict() | {"edge_ns": [reading + apart_ns for reading in observation.edge_ns]}
    )
    theirs = ServerTimes(server.complete_ns + apart_ns, server.answered_ns + apart_ns)
    sample = sample_of(elsewhere, theirs, one_clock=False)
    assert sample == sample_of(observation, server, one_clock=False)  # how far they are apart makes no difference
    assert set(sample.terms) == set(TERMS) - {"uplink", "downlink"}
    assert not sample.closed
    check_closed(sample, at)


@given(st.integers(0, 10**9))
def test_device_only_is_one_term(compute_ns: int) -> None:
    data: dict[str, Any] = {"kind": "measure", "name": "device-only", "order": 0, "request_id": "r", "handed_ns": 0}
    ends = dict.fromkeys(("head_ns", "shrunk_ns", "parsed_ns"), 10**12 + compute_ns)
    observation = Observation(**data, **ends, started_ns=10**12, edge_ns=(), response_bytes=0, top_class=0)
    sample = sample_of(observation, None)
    assert sample.terms == {"device": compute_ns / 1e6}
    assert (sample.total_ms, sample.other_ms) == (compute_ns / 1e6, 0.0)


@given(gaps)
def test_an_observation_comes_back_from_its_dictionary(gaps_ns: list[int]) -> None:
    observation, _, _ = observed(gaps_ns, "measure", "split/7/maxpool/float32")
    assert Observation.from_dict({**observation.as_dict(), "edge_ns": [*observation.edge_ns]}) == observation
