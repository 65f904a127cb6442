"""One direction of a link as arithmetic: against the theory, and what is random against its bounds."""

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import GilbertElliott, Impairments, LinkSpec, transfer_ms
from netem.channel import Channel
from netem.distributions import DISTRIBUTIONS, SCALE, table
from netem.relay_client import channel_parameters

FULL_FRAME = 1514


def channel(rate_mbps: float = 57, delay_ms: float = 14, seed: int = 1, **impairments: Any) -> Channel:
    spec = LinkSpec(rate_mbps, 1000, delay_ms, 0, impairments_up=Impairments(**impairments), seed=seed)
    return Channel(channel_parameters(spec)["up"])


def frames(payload_bytes: int, mss: int = 1448) -> list[bytes]:
    sizes = [mss] * (payload_bytes // mss) + [payload_bytes % mss] * (payload_bytes % mss > 0)
    return [bytes(size + 66) for size in sizes]


@given(st.integers(1, 3_000_000), st.floats(1, 1000), st.floats(0, 100))
def test_a_message_takes_exactly_what_the_theory_says(size: int, rate_mbps: float, delay_ms: float) -> None:
    link = channel(rate_mbps, delay_ms)
    for frame in frames(size):
        link.admit(0, frame)
    last_ns, _ = link.due(1e18)[-1]
    expected_ms = transfer_ms(size, rate_mbps, round(delay_ms * 1e3) / 1e3, 2 * delay_ms)
    assert last_ns / 1e6 == pytest.approx(expected_ms, rel=1e-9, abs=1e-6)
    assert link.overflowed == 0


@given(
    st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(60, FULL_FRAME)), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 3_000_000), st.floats(1, 300)), max_size=20),
)
def test_no_change_in_place_lets_more_through_than_the_fastest_rate(
    gaps: list[tuple[int, int]], changes: list[tuple[int, float]]
) -> None:
    link = channel(10, 0)
    fastest_mbps = max([10.0, *(rate for _, rate in changes)])
    events: list[tuple[float, Callable[[], None]]] = []
    now = 0
    for gap, size in gaps:
        now += gap
        events.append((now, lambda now=now, size=size: link.admit(now, bytes(size))))  # type: ignore[misc]
    now = 0
    for gap, rate in changes:
        now += gap
        parameters = {**link.parameters, "rate_mbps": rate}
        events.append((now, lambda now=now, parameters=parameters: link.change(parameters, now)))  # type: ignore[misc]
    for _, event in sorted(events, key=lambda pair: pair[0]):
        event()
    sent = link.due(1e18)
    assert len(sent) == len(gaps)
    assert [due for due, _ in sent] == sorted(due for due, _ in sent)
    carried = 0
    for due_ns, frame in sent:  # from an empty start: at most a bucket, and the fastest rate since
        carried += len(frame)
        assert carried <= 15_000 + fastest_mbps * 1e6 / 8 * due_ns / 1e9 + 1


def test_a_thousand_changes_give_no_burst_away() -> None:
    link = channel(57, 14)
    for _ in range(4000):
        link.admit(0, bytes(FULL_FRAME))
    for step in range(1, 1001):
        link.change({**link.parameters, "rate_mbps": 40 if step % 2 else 57}, step * 500_000)
    carried = sum(len(frame) for _, frame in link.due(500_000 * 1000 + 14_000_000))
    allowed = 15_000 + (57 + 40) / 2 * 1e6 / 8 * 0.5
    assert carried == pytest.approx(allowed, abs=2 * FULL_FRAME)


def test_what_is_queued_leaves_at_the_new_rate() -> None:
    link = channel(1, 0)
    for _ in range(11):
        link.admit(0, bytes(1500))
    link.change({**link.parameters, "rate_mbps": 100}, 0)
    assert link.due(1e18)[-1][0] == pytest.approx(1500 * 8e3 / 100)


def test_frames_stay_in_order_when_the_delay_is_shortened() -> None:
    link = channel(1000, 50)
    link.admit(0, b"first" + bytes(60))
    link.change({**link.parameters, "delay_us": 1000}, 10)
    link.admit(20, b"second" + bytes(60))
    assert [frame[:5] for _, frame in link.due(1e18)] == [b"first", b"secon"]


def test_a_full_queue_drops_and_counts() -> None:
    parameters = channel_parameters(LinkSpec(10, 10, 0, 0, queue_bytes=15_000))["up"]
    link = Channel(parameters)
    for _ in range(30):
        link.admit(0, bytes(1500))
    assert link.overflowed == 10  # ten passed with the bucket, ten wait
    assert len(link.due(1e18)) == 20


def losses(link: Channel, count: int = 20_000) -> list[int]:
    for number in range(count):
        link.admit(number * 300_000, number.to_bytes(4, "big") + bytes(60))
    arrived = {int.from_bytes(frame[:4], "big") for _, frame in link.due(1e18)}
    return [number for number in range(count) if number not in arrived]


@pytest.mark.parametrize("loss", [0.01, GilbertElliott(0.01, 0.25), GilbertElliott(0.02, 0.5, 0.7, 0.001)])
def test_loss_within_99_percent_bounds_and_the_same_every_time(loss: float | GilbertElliott) -> None:
    lost = losses(channel(loss=loss))
    rate = Impairments(loss=loss).loss_rate
    inflation = (2 - loss.to_bad - loss.to_good) / (loss.to_bad + loss.to_good) if rate != loss else 1  # type: ignore[union-attr]
    assert len(lost) / 20_000 == pytest.approx(rate, abs=2.576 * math.sqrt(rate * (1 - rate) * inflation / 20_000))
    assert losses(channel(loss=loss)) == lost
    assert losses(channel(loss=loss, seed=2)) != lost


def test_bursts_last_as_long_as_the_chain_stays_bad() -> None:
    lost = losses(channel(loss=GilbertElliott(0.01, 0.25)))
    bursts = 1 + sum(after > before + 1 for before, after in itertools.pairwise(lost))
    assert len(lost) / bursts == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_jitter_is_what_the_table_says(distribution: Any) -> None:
    link = channel(1000, 50, jitter_ms=5, jitter_distribution=distribution)
    for number in range(20_000):
        link.admit(number * 100_000, number.to_bytes(4, "big") + bytes(60))
    delays_ms = [due / 1e6 - int.from_bytes(frame[:4], "big") / 10 for due, frame in link.due(1e18)]
    deviation_ms = 5 / math.sqrt(3) if distribution == "uniform" else 5
    assert statistics.fmean(delays_ms) == pytest.approx(50, abs=2.576 * deviation_ms / math.sqrt(20_000) + 0.01)
    assert statistics.pstdev(delays_ms) == pytest.approx(deviation_ms, rel=0.05)
    assert min(delays_ms) >= link.least_delay_ns / 1e6 - 1e-6


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_table_is_centred_and_fits_the_kernel(distribution: Any) -> None:
    values = table(distribution)
    assert all(-32_768 <= value <= 32_767 for value in values)
    assert abs(statistics.fmean(values)) < 0.01 * SCALE
    expected = SCALE / math.sqrt(3) if distribution == "uniform" else SCALE
    assert statistics.pstdev(values) == pytest.approx(expected, rel=0.02)


def test_shares_of_reordered_duplicated_and_corrupted() -> None:
    link = channel(1000, 10, reorder=0.05, duplicate=0.03, corrupt=0.02)
    for number in range(20_000):
        link.admit(number * 100_000, bytes(64))
    sent = link.due(1e18)
    assert [due for due, _ in sent] == sorted(due for due, _ in sent)
    assert len(sent) == 20_000 + link.duplicated
    assert link.duplicated == pytest.approx(600, abs=2.576 * math.sqrt(600))
    assert link.corrupted == pytest.approx(400, abs=2.576 * math.sqrt(400))
    assert link.reordered == pytest.approx(0.05 * len(sent), abs=2.576 * math.sqrt(1000))
    changed = [frame for _, frame in sent if any(frame)]
    assert all(sum(byte.bit_count() for byte in frame) == 1 and not any(frame[:14]) for frame in changed)


@given(st.integers(1, 40), st.floats(0, 2_000_000))
def test_waking_when_told_misses_nothing_and_is_late_by_a_batch_at_most(count: int, batch_ns: float) -> None:
    link = channel(57, 1)
    for number in range(count):
        link.admit(number * 150_000, bytes(FULL_FRAME))
    taken = 0
    while (wake_ns := link.wake_ns(batch_ns)) < math.inf:
        sent = link.due(wake_ns)
        assert sent
        assert wake_ns - sent[0][0] <= batch_ns + 1e-3
        taken += len(sent)
    assert taken == count


@pytest.mark.parametrize("impairments", [{"reorder": 0.25}, {"jitter_ms": 5.0, "jitter_distribution": "normal"}])
def test_frames_that_overtake_those_on_the_line_are_not_late_either(impairments: dict[str, Any]) -> None:
    """A frame that is still in the queue can be due before all that have left it."""
    link, now, batch_ns, late_ns = channel(10, 14, **impairments), 0.0, 200_000.0, []
    for frame in frames(40 * 1448):
        link.admit(0, frame)
    while (wake_ns := link.wake_ns(batch_ns)) < float("inf"):
        now = max(now, wake_ns)
        late_ns += [now - due_ns for due_ns, _ in link.due(now)]
    assert len(late_ns) == 40
    assert max(late_ns) <= batch_ns
