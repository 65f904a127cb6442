"""Names of work and of candidates: the same text on both sides of the agent's socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.profiling.timing import time_round
from harness.profiling.work import KINDS, Work
from harness.results.schema import Key

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-:=,+.!", min_size=1, max_size=24)
indices = st.integers(0, 2000)
keys = st.one_of(
    st.just(Key("device-only")),
    st.builds(lambda name: Key("edge-only", None, "none", name), names),
    st.builds(lambda split, layer, name: Key("split", split, layer, name), indices, names, names),
)
works = st.one_of(
    st.builds(Work.block, indices, indices),
    st.builds(Work.head, indices),
    st.builds(Work.tail, indices),
    st.builds(Work.codec, keys),
)


@given(keys)
def test_a_key_comes_back_from_its_text(key: Key) -> None:
    assert Key.parse(str(key)) == key


@given(works)
def test_work_comes_back_from_its_text(work: Work) -> None:
    assert work.kind in KINDS
    assert Work.parse(str(work)) == work


@given(st.lists(works, max_size=20))
def test_different_work_has_different_names(several: list[Work]) -> None:
    assert len({str(work) for work in several}) == len(set(several))


@pytest.mark.parametrize(
    "text", ["", "block", "block/1", "block/1/2/3", "block/a/2", "layer/1/2", "codec/", "codec/split/1", "head//3"]
)
def test_any_other_text_is_no_work(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each part has its own words)
        Work.parse(text)


@pytest.mark.parametrize("text", ["", "device-only/x", "edge-only", "split/1/maxpool", "split/x/none/float32", "Split"])
def test_any_other_text_is_no_key(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each part has its own words)
        Key.parse(text)


@given(st.lists(works, min_size=1, max_size=12, unique=True), st.integers(0, 99))
def test_a_round_runs_each_piece_once_in_an_order_that_its_seed_decides(several: list[Work], seed: int) -> None:
    def order(seed: int) -> list[Work]:
        ran: list[Work] = []

        def prepare(work: Work) -> object:
            return lambda: ran.append(work) or [5]

        times = time_round(
            several, prepare, lambda work, started, marks: {"ms": float(marks[0])}, seed=seed, gap_ms=0.0
        )
        assert times == {str(work): {"ms": 5.0} for work in several}
        return ran

    assert sorted(map(str, order(seed))) == sorted(map(str, several))
    assert order(seed) == order(seed)
