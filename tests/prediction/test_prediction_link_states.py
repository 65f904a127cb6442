"""The link's theory in every state of a connection, on single links and on grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction.link_theory import (
    LinkPoint,
    State,
    downlink_ms,
    request_ms,
    spread_ms,
    uplink_ms,
    window_segments,
)
from netem import GilbertElliott, Impairments, LinkSpec, TcpPolicy, transfer_ms

SIZES = np.array([1.0, 2_000.0, 40_000.0, 160_000.0, 800_000.0, 1_600_000.0])
STATES: tuple[State, ...] = ("warm", "idle", "cold", "new")
CONTROLS = ("cubic", "reno", "bbr")
SILENCE_MS = 1_030.0


def link(control: str | None = "cubic", *, restarts: bool = True, **others: object) -> LinkSpec:
    tcp = TcpPolicy(control, slow_start_after_idle=restarts)
    return LinkSpec(57, 1000, 14, 14, burst_bytes=3028, tcp=tcp, **others)  # type: ignore[arg-type]


def times(of: LinkSpec | LinkPoint, state: State) -> np.ndarray:
    return uplink_ms(of, SIZES, state=state, silence_ms=SILENCE_MS)


def test_a_warm_uplink_is_the_transfer_formula() -> None:
    theory = transfer_ms(SIZES, 57, 14, 28, burst_bytes=3028)
    assert np.array_equal(uplink_ms(link(), SIZES), theory)
    assert request_ms(link(), 2_000, 4_150) == pytest.approx(theory[1] + downlink_ms(link(), 4_150))


@pytest.mark.parametrize("control", CONTROLS)
def test_the_less_a_connection_knows_the_longer_it_takes(control: str) -> None:
    warm, idle, cold, new = (times(link(control), state) for state in STATES)
    assert (warm <= idle).all()
    assert (idle <= cold + 1e-9).all()
    assert (cold + 2 * 28 <= new + 1e-9).all()
    assert new[0] == pytest.approx(warm[0] + 2 * 28)


def test_without_slow_start_after_idle_and_with_bbr_a_silence_changes_nothing() -> None:
    for of in (link(restarts=False), link("reno", restarts=False), link("bbr")):
        assert np.array_equal(times(of, "idle"), times(of, "warm"))
        assert np.isinf(window_segments(of, SIZES, state="idle", silence_ms=SILENCE_MS)).all()


def test_the_silence_decides_against_the_retransmission_timeout() -> None:
    short, long = (uplink_ms(link("reno"), SIZES, state="idle", silence_ms=ms) for ms in (150.0, 5_000.0))
    assert np.array_equal(long, times(link("reno"), "cold") - _framing_apart("reno"))
    assert (short <= long).all()
    assert short[-1] < long[-1]


def _framing_apart(control: str) -> np.ndarray:
    """What the longer headers of a first request cost: another round where they cross into one."""
    of = link(control)
    return times(of, "cold") - uplink_ms(of, SIZES, state="idle", silence_ms=60_000.0)


def test_the_first_window_of_a_new_connection_shares_with_the_settings() -> None:
    def extra(size: float) -> float:
        one = np.array([size])
        return float(uplink_ms(link(), one, state="new")[0] - uplink_ms(link(), one)[0]) - 2 * 28

    assert window_segments(link(), SIZES, state="new").tolist() == [9] * len(SIZES)
    assert extra(9 * 1448 - 370) == pytest.approx(0)  # nine segments with all framing
    assert extra(9 * 1448 - 369) > 20  # one byte more takes another round


@given(
    st.lists(st.floats(5, 300), min_size=1, max_size=3),
    st.lists(st.floats(0, 100), min_size=1, max_size=3),
    st.sampled_from(STATES),
    st.sampled_from(CONTROLS),
)
def test_a_grid_is_its_points(rates: list[float], rtts: list[float], state: State, control: str) -> None:
    base = link(control)
    rate, rtt = np.array(rates)[:, None], np.array(rtts)[None, :]
    grid = LinkPoint.of(base, rate_up_mbps=rate, rtt_ms=rtt)
    sizes = SIZES[:, None, None]
    together = uplink_ms(grid, sizes, state=state, silence_ms=SILENCE_MS)
    assert together.shape == (len(SIZES), len(rates), len(rtts))
    assert np.shape(downlink_ms(grid, 4_150.0)) == (1, len(rtts))
    for i, mbps in enumerate(rates):
        for j, ms in enumerate(rtts):
            point = replace(base, rate_up_mbps=mbps, delay_up_ms=ms / 2, delay_down_ms=ms / 2)
            assert np.allclose(together[:, i, j], times(point, state), rtol=1e-9)


def test_what_cannot_be_predicted_is_refused_with_a_remedy() -> None:
    for control in (None, "westwood"):
        for state in ("new", "idle", "cold"):
            with pytest.raises(SpecError, match="allowed: cubic, reno, bbr"):
                times(link(control), state)  # type: ignore[arg-type]
        assert np.array_equal(times(link(control), "warm"), times(link(), "warm"))
    with pytest.raises(SpecError, match="give silence_ms"):
        uplink_ms(link(), SIZES, state="idle")


def test_a_plain_link_spreads_nothing() -> None:
    for shift, deviation in spread_ms(link(), SIZES, 4_150):
        assert shift.tolist() == deviation.tolist() == [0.0] * len(SIZES)


def test_jitter_and_rare_loss_spread_both_ways() -> None:
    jitter = Impairments(jitter_ms=1.0)
    up, both = link(impairments_up=jitter), link(impairments_up=jitter, impairments_down=jitter)
    (shift, deviation), nothing = spread_ms(up, SIZES, 4_150)
    assert (deviation > 0.5).all()
    assert not np.any(nothing)
    of_both = spread_ms(both, SIZES, 4_150)
    assert np.array_equal(of_both[0], (shift, deviation))
    assert (of_both[1][0] > 0).all()
    lossy, _ = spread_ms(link(impairments_up=Impairments(loss=5e-5)), SIZES, 4_150)
    assert (lossy[0] > 0).all()
    assert (lossy[1] > lossy[0]).all()
    corrupt, _ = spread_ms(link(impairments_up=Impairments(corrupt=5e-5)), SIZES, 4_150)
    assert np.array_equal(corrupt[0], lossy[0])


@pytest.mark.parametrize(
    ("impairments", "complaint"),
    [
        (Impairments(reorder=0.1), "reorder up"),
        (Impairments(duplicate=0.1), "duplicate up"),
        (Impairments(jitter_ms=1, jitter_correlation=0.5), "jitter_correlation up"),
        (Impairments(loss=GilbertElliott(0.01, 0.3)), "Gilbert-Elliott"),
        (Impairments(jitter_ms=9), "allowed: up to 3.5 ms"),
        (Impairments(loss=0.01), "Mathis"),
    ],
)
def test_impairments_without_a_sound_formula_are_refused(impairments: Impairments, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint) as caught:
        spread_ms(link(impairments_up=impairments), SIZES, 4_150)
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bbr_bears_more_loss_but_not_several_a_request() -> None:
    some = Impairments(loss=4e-4)
    with pytest.raises(SpecError, match="Mathis"):
        spread_ms(link(impairments_up=some), SIZES, 4_150)
    assert (spread_ms(link(impairments_up=some), SIZES, 4_150, checked=False)[0][0] > 0).all()
    assert (spread_ms(link("bbr", impairments_up=some), SIZES, 4_150)[0][0] > 0).all()
    with pytest.raises(SpecError, match="losses in a request"):
        spread_ms(link("bbr", impairments_up=Impairments(loss=0.01)), SIZES, 4_150)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_larger_first_window_is_in_the_theory(control: str) -> None:
    of = link(control)
    wider = replace(of, tcp=replace(of.tcp, initial_window_segments=40))
    for state in ("new", "idle", "cold"):
        assert (times(wider, state) <= times(of, state) + 1e-9).all()
    assert times(wider, "new")[2] < times(of, "new")[2] - 20
