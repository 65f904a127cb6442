"""Traces: read, generated, and replayed on a live link."""

import csv
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import Impairments, LinkSpec, LinkSpecError, Sandbox, apply, transfer_times_ms
from netem.trace import AppliedStep, Step, Trace, TraceReplay, cellular_uplink


def test_a_mahimahi_trace_counts_packets(tmp_path: Path) -> None:
    path = tmp_path / "up.trace"
    # One packet a millisecond for 100 ms, then one every 2 ms.
    path.write_text("\n".join(str(ms) for ms in [*range(1, 101), *range(102, 201, 2)]) + "\n")
    trace = Trace.read(path)
    assert trace.duration_s == pytest.approx(0.2)
    assert [step.t_s for step in trace.steps] == pytest.approx([0, 0.1])
    assert trace.steps[0].rate_mbps == pytest.approx(1504 * 8 / 1e3, rel=0.02)
    assert trace.steps[1].rate_mbps == pytest.approx(1504 * 8 / 2e3, rel=0.05)


@pytest.mark.parametrize("end_ms", [7, 100, 150, 1099])
def test_a_mahimahi_trace_ends_at_its_last_line_and_keeps_its_rate_to_the_end(tmp_path: Path, end_ms: int) -> None:
    path = tmp_path / "up.trace"
    path.write_text("\n".join(str(ms) for ms in range(1, end_ms + 1)) + "\n")
    trace = Trace.read(path)
    assert trace.duration_s == end_ms / 1e3
    assert [step.rate_mbps for step in trace.steps] == pytest.approx([1504 * 8 / 1e3] * len(trace.steps), rel=0.02)


def test_a_csv_trace_may_have_delay_and_loss(tmp_path: Path) -> None:
    path = tmp_path / "up.csv"
    path.write_text("t_s,rate_mbps,delay_ms,loss\n0,57,14,\n0.5,5,,0.1\n")
    trace = Trace.read(path)
    assert trace.steps == (Step(0, 57, 14, None), Step(0.5, 5, None, 0.1))
    spec = LinkSpec(10, 10, 3, 4)
    assert trace.steps[1].of(spec).delay_up_ms == 3
    assert trace.steps[1].of(spec).impairments_up.loss == 0.1
    assert trace.steps[0].of(spec).rate_up_mbps == 57


@pytest.mark.parametrize(
    "text",
    [
        *("", "# nothing\n", "one\n", "5\n3\n", "-5\n3\n", "t_s\n0\n"),
        *("t_s,rate_mbps\n", "t_s,rate_mbps\n1,5\n", "t_s,rate_mbps\n0,fast\n", "t_s,rate_mbps\n0,-5\n"),
        *("t_s,rate_mbps\n0,5\n0,6\n", "t_s,rate_mbps\n0,nan\n", "t_s,rate_mbps\n0,5,6,7\n"),
        *("t_s,rate_mbps,colour\n0,5,6\n", "t_s,rate_mbps\n0\n", "t_s,rate_mbps\n0,5\ninf,5\n"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(LinkSpecError, match="trace") as caught:
        Trace.read(path)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 2**32), st.floats(0.1, 120))
def test_the_generated_uplink_is_the_same_for_a_seed(seed: int, duration_s: float) -> None:
    trace = cellular_uplink(duration_s, seed)
    assert trace == cellular_uplink(duration_s, seed)
    assert trace.duration_s == pytest.approx(duration_s, abs=0.1)
    assert all(30 <= step.rate_mbps <= 60 or (2 <= step.rate_mbps <= 8 and step.delay_ms == 34) for step in trace.steps)


def test_a_generated_uplink_dips_and_comes_back_from_a_file(tmp_path: Path) -> None:
    trace = cellular_uplink(120, 1)
    assert any(step.rate_mbps < 10 for step in trace.steps)
    assert 35 < trace.mean_rate_mbps < 50
    trace.write(tmp_path / "5g.csv")
    assert Trace.read(tmp_path / "5g.csv").steps == trace.steps


STEPS = st.lists(
    st.tuples(st.integers(1, 5000), st.floats(0.1, 1000), st.none() | st.floats(0, 500), st.none() | st.floats(0, 1)),
    min_size=1,
    max_size=20,
)


def made(steps: list[tuple[int, float, float | None, float | None]]) -> Trace:
    """From (milliseconds in force, rate, delay, loss)."""
    at_ms, found = 0, []
    for lasts_ms, rate_mbps, delay_ms, loss in steps:
        found.append(Step(at_ms / 1e3, rate_mbps, delay_ms, loss))
        at_ms += lasts_ms
    return Trace(tuple(found), at_ms / 1e3)


@given(STEPS)
def test_the_mean_weighs_each_step_by_its_time(steps: list[tuple[int, float, float | None, float | None]]) -> None:
    spec = LinkSpec(10, 10, 3, 4, impairments_up=Impairments(loss=0.25))
    trace = made(steps)
    mean = trace.mean(spec)
    total_ms = sum(step[0] for step in steps)
    assert sum(trace.lengths_s) == pytest.approx(trace.duration_s)
    assert mean.rate_up_mbps == pytest.approx(sum(step[0] * step[1] for step in steps) / total_ms)
    delays = [3 if delay is None else delay for _, _, delay, _ in steps]
    assert mean.delay_up_ms == pytest.approx(
        sum(step[0] * delay for step, delay in zip(steps, delays, strict=True)) / total_ms, abs=1e-9
    )
    losses = [0.25 if loss is None else loss for *_, loss in steps]
    assert mean.impairments_up.loss_rate == pytest.approx(
        sum(step[0] * loss for step, loss in zip(steps, losses, strict=True)) / total_ms, abs=1e-9
    )
    assert (mean.rate_down_mbps, mean.delay_down_ms) == (10, 4)


@given(st.text(max_size=60) | st.lists(st.sampled_from("0123456789.,-\nt_sratembpdlyo "), max_size=80).map("".join))
def test_any_text_is_a_trace_or_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.trace"
    path.write_text(text)
    message = ""
    try:
        trace = Trace.read(path)
    except LinkSpecError as error:
        message = str(error)
    assert "\n" not in message
    if not message:
        assert trace.steps[0].t_s == 0
        assert all(0.064 <= step.rate_mbps <= 10_000 for step in trace.steps)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LinkSpecError, match="No such file") as caught:
        Trace.read(tmp_path / "none")
    assert "\n" not in str(caught.value)


@pytest.mark.link
def test_a_replayed_trace_is_felt_and_its_lateness_known(sandbox: Sandbox) -> None:
    applied = apply(sandbox, LinkSpec(50, 50, 2, 2))
    fast_ms = min(transfer_times_ms(sandbox, [500_000] * 3))
    with TraceReplay(sandbox, applied, Trace((Step(0, 10), Step(0.05, 5)), 0.1)) as replay:
        time.sleep(0.15)
        slow_ms = min(transfer_times_ms(sandbox, [500_000] * 2))
    assert slow_ms > 7 * fast_ms
    assert replay.as_dict()["steps"] == len(replay.lateness_ms) == 2
    assert min(replay.lateness_ms) >= 0


def test_whatever_ends_a_replay_is_raised_where_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError("the namespace is gone")

    monkeypatch.setattr("netem.shaper.change", gone)
    base = LinkSpec(50, 50, 2, 2)
    replay = TraceReplay(Sandbox(), None, Trace((Step(0, 10),), 1), base=base)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="gone"), replay:
        replay._thread.join(10)


@pytest.mark.link
def test_a_trace_loops_until_it_is_left(sandbox: Sandbox) -> None:
    applied = apply(sandbox, LinkSpec(50, 50, 2, 2))
    with TraceReplay(sandbox, applied, Trace((Step(0, 10), Step(0.01, 20)), 0.02), loop=True) as replay:
        time.sleep(0.3)
    assert len(replay.lateness_ms) > 6


@pytest.mark.link
def test_what_was_put_in_force_is_known_by_its_time(sandbox: Sandbox, tmp_path: Path) -> None:
    spec = LinkSpec(50, 50, 2, 2)
    applied = apply(sandbox, spec)
    base = LinkSpec(50, 50, 7, 2, impairments_up=Impairments(loss=0.125))
    trace = Trace((Step(0, 10), Step(0.01, 20, 5.0), Step(0.02, 30, None, 0.5)), 0.03)
    before_ns = time.monotonic_ns()
    with TraceReplay(sandbox, applied, trace, base=base) as replay:
        time.sleep(0.1)
    found = replay.applied_steps
    assert [(step.t_s, step.rate_mbps, step.delay_ms, step.loss) for step in found] == [
        (0, 10, 7, 0.125),
        (0.01, 20, 5, 0.125),
        (0.02, 30, 7, 0.5),
    ]
    assert before_ns <= found[0].due_ns <= found[0].applied_ns <= time.monotonic_ns()
    assert [step.due_ns - found[0].due_ns for step in found] == [0, 10_000_000, 20_000_000]
    assert replay.as_dict()["outlasted"]
    replay.write(tmp_path / "trace.csv")
    with (tmp_path / "trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    again = [AppliedStep(int(r["due_ns"]), int(r["applied_ns"]), *map(float, list(r.values())[2:])) for r in rows]
    assert again == found
