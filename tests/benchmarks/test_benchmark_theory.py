"""Link theory in arrays against the same formula in a loop, as a ratio."""

from __future__ import annotations

import time

import numpy as np
import pytest

from netem import transfer_ms
from netem.theory import ConnectionState

POINTS = 200_000
LOOPED = 5_000


@pytest.mark.parametrize("state", ["warm", "cold", "new"])
def test_arrays_are_faster_than_a_loop(state: ConnectionState) -> None:
    random = np.random.default_rng(0)
    size, rate, rtt = random.uniform(1, 2e6, POINTS), random.uniform(1, 300, POINTS), random.uniform(0, 100, POINTS)
    transfer_ms(size, rate, rtt / 2, rtt, state=state)  # the first touch of the memory is not the formula's
    started_s = time.perf_counter()
    together = transfer_ms(size, rate, rtt / 2, rtt, state=state)
    arrays_s = (time.perf_counter() - started_s) / POINTS
    rows = list(zip(size[:LOOPED].tolist(), rate[:LOOPED].tolist(), rtt[:LOOPED].tolist(), strict=True))
    started_s = time.perf_counter()
    alone = [transfer_ms(n, mbps, ms / 2, ms, state=state) for n, mbps, ms in rows]
    loop_s = (time.perf_counter() - started_s) / LOOPED
    print(f"\n{state}: {arrays_s * 1e9:.0f} ns a point in arrays, {loop_s * 1e9:.0f} ns in a loop")
    assert np.allclose(together[:LOOPED], alone, rtol=1e-12, atol=1e-9)
    assert loop_s > 5 * arrays_s
