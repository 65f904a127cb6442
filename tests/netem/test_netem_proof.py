"""Changes in place under a load that fills the link: not one frame is faster than the link allows.

The judges are tested first, on made-up frames. (``sch_netem`` is judged in ``test_netem_uml.py``.)
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import missing_qdiscs
from netem.interfaces import Backend
from tests.netem.capture import Change, Frame, earliest_ns, most_excess_bytes
from tests.netem.proof import Proof, changes_under_load

CLOCKS_APART_MS = 0.02
"""Between the wall clock that stamps frames and the monotonic one of the changes."""

FRAME_BYTES = 1514
"""htb sends one frame on credit; and a frame is stamped a moment after it was let go."""


@given(
    st.lists(st.tuples(st.floats(0, 3e6), st.integers(60, FRAME_BYTES)), min_size=1, max_size=50),
    st.lists(st.tuples(st.floats(1e4, 3e6), st.floats(1, 300)), max_size=10),
)
def test_frames_that_leave_at_the_earliest_overdraw_nothing_and_any_sooner_would(
    gaps: list[tuple[float, int]], rates: list[tuple[float, float]]
) -> None:
    now, frames = 0.0, []
    for gap, length in gaps:
        now += gap
        frames.append((now, length))
    now, changes = 0.0, [Change(0.0, 10.0)]
    for gap, rate in rates:
        now += gap
        changes.append(Change(now, rate))
    left = earliest_ns(frames, changes, 15_000)
    assert all(at >= came for at, (came, _) in zip(left, frames, strict=True))
    assert left == sorted(left)
    went = [Frame(at, length, b"") for at, (_, length) in zip(left, frames, strict=True)]  # type: ignore[arg-type]
    assert most_excess_bytes(went, changes, 15_000) <= 0.01


def test_a_refilled_bucket_is_found() -> None:
    bucket = [Frame(1000 + number, 1500, b"") for number in range(10)]
    again = [Frame(2_000_000 + number, 1500, b"") for number in range(10)]
    allowed = 2e6 * 10 / 8e3
    assert most_excess_bytes(bucket, [Change(0, 10)], 15_000) == pytest.approx(-1, abs=5)
    assert most_excess_bytes(bucket + again, [Change(0, 10)], 15_000) == pytest.approx(15_000 - allowed, abs=5)


def judge(backend: Backend, count: int) -> Proof:
    if missing := missing_qdiscs(backend):
        pytest.skip(f"this kernel has no {', '.join(missing)}")
    proof = changes_under_load(backend, count)
    assert proof.changes == count
    assert proof.carried_share > 0.5, "the load has to fill the link"
    if backend == "relay":
        assert proof.earliest_lead_ms is not None
        assert proof.earliest_lead_ms <= CLOCKS_APART_MS
    else:
        assert proof.excess_bytes is not None
        assert proof.excess_bytes <= FRAME_BYTES
    return proof


@pytest.mark.link
@pytest.mark.parametrize("backend", ["relay", "rate-only"])
def test_a_hundred_changes_under_load(backend: Backend, host_backend: str) -> None:
    judge(backend, 100)


@pytest.mark.link
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["relay", "rate-only", "netem"])
def test_a_thousand_changes_under_load(backend: Backend, host_backend: str) -> None:
    judge(backend, 1000)
