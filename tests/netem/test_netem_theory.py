import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import goodput_mbps, link_rate_mbps, transfer_ms, wire_bytes

SIZES = st.integers(1, 20_000_000)
RATES = st.floats(1, 1000)
DELAYS = st.floats(0, 100)


def test_known_values() -> None:
    assert goodput_mbps(57) == pytest.approx(54.515, abs=1e-3)
    assert wire_bytes(1448) == 1514
    assert wire_bytes(1449) == 1449 + 2 * 66
    # 160 kB at 57 Mbit/s: 111 segments, 167,326 bytes on the wire, of which the bucket lets 15,000 through.
    assert transfer_ms(160_000, 57, 14, 28) == pytest.approx(14 + 152_326 * 8 / 57e3)
    # What the bucket holds takes no time of its own.
    assert transfer_ms(10_000, 57, 14, 28) == 14


def test_a_cold_window_waits_for_acknowledgements() -> None:
    # 70 segments and w = 10: K = ceil(log2(8)) = 3, so two rounds wait, for 10 and for 20 segments.
    segment_ms = 1514 * 8 / 57e3
    stalls_ms = (28 + segment_ms - 10 * segment_ms) + (28 + segment_ms - 20 * segment_ms)
    warm_ms = transfer_ms(70 * 1448, 57, 14, 28)
    assert transfer_ms(70 * 1448, 57, 14, 28, state="cold") == pytest.approx(warm_ms + stalls_ms)
    assert transfer_ms(70 * 1448, 57, 14, 28, state="new") == pytest.approx(warm_ms + stalls_ms + 28)


@given(RATES)
def test_link_rate_inverts_goodput(rate_mbps: float) -> None:
    assert link_rate_mbps(goodput_mbps(rate_mbps)) == pytest.approx(rate_mbps)


@given(SIZES, SIZES, RATES, DELAYS)
def test_more_bytes_never_take_less_time(one: int, other: int, rate_mbps: float, delay_ms: float) -> None:
    small, large = sorted((one, other))
    for state in ("warm", "cold", "new"):
        times = [transfer_ms(n, rate_mbps, delay_ms, 2 * delay_ms, state=state) for n in (small, large)]
        assert delay_ms <= times[0] <= times[1] + 1e-9


@given(SIZES, RATES, DELAYS)
def test_states_are_ordered_and_a_full_pipe_gives_the_goodput(size: int, rate_mbps: float, delay_ms: float) -> None:
    warm, cold, new = (
        transfer_ms(size, rate_mbps, delay_ms, 2 * delay_ms, state=state) for state in ("warm", "cold", "new")
    )
    assert warm <= cold <= new
    unlimited_ms = size * 8 / (goodput_mbps(rate_mbps) * 1e3)
    assert warm - delay_ms <= unlimited_ms + 66 * 8 / (rate_mbps * 1e3)
    assert warm - delay_ms >= unlimited_ms - 15_000 * 8 / (rate_mbps * 1e3) - 1e-9


@given(st.lists(SIZES, min_size=1, max_size=6), RATES)
def test_an_array_gives_what_its_elements_give(sizes: list[int], rate_mbps: float) -> None:
    array = np.array(sizes, dtype=np.float64)
    together = transfer_ms(array, rate_mbps, 14, 28, state="cold")
    assert together.shape == array.shape
    alone = [transfer_ms(n, rate_mbps, 14, 28, state="cold") for n in sizes]
    assert all(math.isclose(a, b) for a, b in zip(together, alone, strict=True))


@given(st.lists(st.tuples(SIZES, RATES, DELAYS, st.integers(1, 500)), min_size=1, max_size=6))
def test_all_arguments_broadcast(rows: list[tuple[int, float, float, int]]) -> None:
    size, rate, delay, window = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    for state in ("warm", "cold", "new"):
        grid = transfer_ms(
            size[:, None, None], rate[None, :, None], delay, 2 * delay, state=state, window_segments=window
        )
        assert grid.shape == (len(rows),) * 3
        for i, j, k in product(range(len(rows)), repeat=3):
            own = float(size[i]), float(rate[j]), float(delay[k]), 2 * float(delay[k])
            alone = transfer_ms(*own, state=state, window_segments=float(window[k]))
            assert isinstance(alone, float)
            assert math.isclose(grid[i, j, k], alone, rel_tol=1e-9, abs_tol=1e-9)


def test_a_new_connection_takes_as_many_round_trips_as_are_said() -> None:
    one, two = (transfer_ms(2_000, 57, 14, 28, state="new", round_trips=trips) for trips in (1, 2))
    assert two - one == pytest.approx(28)
