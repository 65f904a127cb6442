"""What a link that varies tells a predictor: time-weighted quantiles, and whether anything varies at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import GilbertElliott, Impairments
from netem.variability import LinkVariability, TracePoints


def points(dt: list[int], values: list[float]) -> TracePoints:
    array = np.array(values)
    return TracePoints(np.array(dt, dtype=float), array, array, np.zeros(len(values)))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(-1e6, 1e6)), min_size=1, max_size=12),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_a_quantile_is_that_of_each_step_repeated_for_its_time(
    steps: list[tuple[int, float]], shares: list[float]
) -> None:
    dt, values = [step[0] for step in steps], [step[1] for step in steps]
    own = points(dt, values)
    repeated = np.sort(np.repeat(values, dt))
    got = own.quantiles(np.array([values, values]), np.array(shares))
    assert got.shape == (2, len(shares))
    for share, value in zip(shares, got[0], strict=True):
        assert value == repeated[max(0, int(np.ceil(share * len(repeated) - 1e-9)) - 1)]
    assert (got[0] == got[1]).all()


@pytest.mark.parametrize(
    ("up", "found"),
    [
        (Impairments(), LinkVariability()),
        (Impairments(jitter_ms=2), LinkVariability(jitter_ms=2)),
        (Impairments(loss=0.01), LinkVariability(loss=0.01)),
        (Impairments(loss=GilbertElliott(0.1, 0.4)), LinkVariability(loss=0.2, bursty=True)),
        (Impairments(reorder=0.1), LinkVariability(disordered=True)),
        (Impairments(corrupt=0.1), LinkVariability(disordered=True)),
    ],
)
def test_what_is_random_is_said(up: Impairments, found: LinkVariability) -> None:
    assert LinkVariability.of(up, Impairments()) == LinkVariability.of(Impairments(), up)
    got = LinkVariability.of(up, Impairments())
    assert (got.jitter_ms, got.bursty, got.disordered) == (found.jitter_ms, found.bursty, found.disordered)
    assert got.loss == pytest.approx(found.loss)
    assert got.none == up.none


def test_a_trace_is_never_nothing() -> None:
    trace = points([1], [30.0])
    assert not LinkVariability.of(Impairments(), Impairments(), trace).none
    lossy = TracePoints(trace.dt_s, trace.rate_mbps, trace.delay_ms, np.array([0.5]))
    assert LinkVariability.of(Impairments(), Impairments(loss=0.1), lossy).loss == 0.5
