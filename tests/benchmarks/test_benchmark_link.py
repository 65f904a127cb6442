"""The bars of the link, one figure each, written to ``experiments/link_bars``: run alone, on an otherwise idle host.

python -m pytest tests/benchmarks/test_benchmark_link.py -m slow -s          # all of it, some 20 minutes
python -m pytest tests/benchmarks/test_benchmark_link.py -m slow -s -k apply # one bar again
"""

import math
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netem import (
    GilbertElliott,
    Impairments,
    LinkSpec,
    Sandbox,
    apply,
    choose_backend,
    missing_qdiscs,
    probe,
    transfer_ms,
    transfer_times_ms,
)
from netem.interfaces import Backend
from netem.packet_probe import send_packets
from netem.plan import INTERFACES, MIDDLE_INTERFACES
from tests.benchmarks.link_bars import note
from tests.benchmarks.uml_link_bars import DELAYS_MS, RATES_MBPS, SIZES_BYTES, WARM_UP, by_size, refill_s, sizes_sent
from tests.netem import commands
from tests.netem import uml as user_mode_linux
from tests.netem.capture import Capture, draining
from tests.netem.proof import changes_under_load

pytestmark = [pytest.mark.link, pytest.mark.slow]

CPUS = {"device_cpu": 0, "edge_cpu": 1}
PACKETS = 20_000
PACKETS_PER_S = 2000
DELAY_MS = 14
Z_99 = 2.576
UML_TIMEOUT_S = 1200


@pytest.fixture(scope="module")
def backend() -> Backend:
    return choose_backend()


@contextmanager
def one_core_busy() -> Iterator[None]:
    """A process that computes on the relay's core, as a tier does."""
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {0})
        while True:
            sum(range(10_000))
    try:
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("rtt_ms", DELAYS_MS)
@pytest.mark.parametrize("rate_mbps", RATES_MBPS)
def test_warm_transfers_and_rtt(backend: Backend, rate_mbps: int, rtt_ms: int) -> None:
    """Within 1 % of theory or 0.5 ms, whichever is larger."""
    spec = LinkSpec(rate_mbps, rate_mbps, rtt_ms / 2, rtt_ms / 2)
    with Sandbox() as sandbox:
        applied = apply(sandbox, spec, relay_cpu=0)
        report = probe(sandbox, spec, applied, **CPUS).as_dict()
        times_ms = by_size(transfer_times_ms(sandbox, sizes_sent(), idle_s=refill_s(spec), **CPUS))
    assert all(judged(backend, spec, report, times_ms, 0.01))


@pytest.fixture(scope="module")
def in_uml(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The grid and 1,000 changes on a live ``sch_netem``."""
    if reason := user_mode_linux.missing():
        pytest.skip(f"no live sch_netem: {reason}")
    program = user_mode_linux.PROJECT / "tests/benchmarks/uml_link_bars.py"
    try:
        found = user_mode_linux.results_of(program, tmp_path_factory.mktemp("uml"), timeout_s=UML_TIMEOUT_S)
    except user_mode_linux.NoUml as error:
        pytest.skip(f"no live sch_netem: {error}")
    if found["error"]:
        pytest.fail(found["error"])
    return found


def test_warm_transfers_and_rtt_on_sch_netem(in_uml: dict[str, Any]) -> None:
    """Within 2 %: what the probe's own processes take there is measured without delay and taken off."""
    passed = []
    for rate_mbps in RATES_MBPS:
        links = {link["rtt_ms"]: link for link in in_uml["grid"] if link["rate_mbps"] == rate_mbps}
        own_ms = {
            size: statistics.median(links[0]["times_ms"][str(size)]) - transfer_ms(size, rate_mbps, 0, 0)
            for size in SIZES_BYTES
        }
        for rtt_ms, link in links.items():
            spec = LinkSpec(rate_mbps, rate_mbps, rtt_ms / 2, rtt_ms / 2)
            # Without delay there is nothing to take it from: judged as it is.
            times_ms = {
                size: [t - (own_ms[size] if rtt_ms and size < 1_000_000 else 0) for t in link["times_ms"][str(size)]]
                for size in SIZES_BYTES
            }
            passed += judged("netem in UML", spec, link["report"], times_ms, 0.02)
    assert all(passed)


def judged(
    backend: str, spec: LinkSpec, report: dict[str, Any], times_ms: dict[int, list[float]], tolerance: float
) -> list[bool]:
    """Writes RTT and every size down as shares of what is allowed; returns whether each passes."""
    rate_mbps, rtt_ms = spec.rate_up_mbps, spec.rtt_ms
    link = f"{rate_mbps:g} Mbit/s, {rtt_ms:g} ms"
    off_ms, allowed_ms = report["achieved"]["rtt_ms"] - rtt_ms, max(0.5, tolerance * rtt_ms)
    p99_ms = round(report["rtt_p99_ms"] - rtt_ms, 3)
    percent = f"{tolerance:.0%} or 0.5 ms"
    passed = [
        note(f"RTT median within {percent}", backend, link, abs(off_ms), allowed_ms, "ms", off_ms=off_ms, p99_ms=p99_ms)
    ]
    for size, times in times_ms.items():
        theory_ms = transfer_ms(size, rate_mbps, spec.delay_up_ms, rtt_ms, burst_bytes=spec.burst_bytes)
        off_ms = statistics.median(times) - theory_ms
        passed.append(
            note(
                f"warm transfers within {percent}",
                backend,
                f"{link}, {size} B",
                abs(off_ms),
                max(0.5, tolerance * theory_ms),
                "ms",
                theory_ms=round(theory_ms, 3),
                off_ms=round(off_ms, 3),
                worst_ms=round(max(times) - theory_ms, 3),
            )
        )
    return passed


def test_300_mbps_on_an_idle_host(backend: Backend) -> None:
    """Within 3 %."""
    spec = LinkSpec(300, 300, 14, 14)
    with Sandbox() as sandbox:
        report = probe(sandbox, spec, apply(sandbox, spec, relay_cpu=0), **CPUS)
    assert note("300 Mbit/s within 3 %", backend, "up", 100 * abs(report.errors["rate_up_mbps"] or 0), 3, "%")


@pytest.mark.parametrize("size", [10_000, 40_000, 100_000])
def test_small_tensors_feel_the_link_after_an_idle_second(backend: Backend, size: int) -> None:
    """Within 1 ms of theory."""
    spec = LinkSpec(57, 1000, 14, 14)
    with Sandbox() as sandbox:
        apply(sandbox, spec, relay_cpu=0)
        times_ms = transfer_times_ms(sandbox, [*WARM_UP, *[size] * 7], idle_s=1.0, **CPUS)[len(WARM_UP) :]
    off_ms = statistics.median(times_ms) - transfer_ms(size, 57, 14, 28)
    assert note("small tensors after an idle second", backend, f"{size} B", abs(off_ms), 1, "ms", off_ms=off_ms)


@pytest.mark.parametrize("busy", [False, True])
def test_what_the_relay_costs_at_60_mbps(backend: Backend, busy: bool) -> None:
    """At most 25 % of one core; lateness p99 under 1 ms while one core computes; nothing lost."""
    if backend != "relay":
        pytest.skip("this kernel has sch_netem, so there is no relay")
    spec = LinkSpec(60, 60, 14, 14)
    with Sandbox() as sandbox:
        applied = apply(sandbox, spec, relay_cpu=0)
        assert applied.relay is not None
        transfer_times_ms(sandbox, WARM_UP, device_cpu=1, edge_cpu=1)
        applied.relay.reset()
        before_s = applied.relay.statistics()["cpu_s"]
        if busy:
            with one_core_busy():
                times_ms = transfer_times_ms(sandbox, [20_000_000] * 2, device_cpu=1, edge_cpu=1)
        else:
            times_ms = transfer_times_ms(sandbox, [20_000_000] * 2, device_cpu=1, edge_cpu=1)
        state = applied.relay.statistics()
    share = (state["cpu_s"] - before_s) / (sum(times_ms) / 1e3)
    case = "a core computes" if busy else "idle host"
    drops = state["up"]["drops"] + state["down"]["drops"]
    late_ms = max(state[way]["lateness_p99_ms"] for way in ("up", "down"))
    passed = [
        note("relay: packets lost that the spec did not lose", backend, case, drops, 0, "packets"),
        note("relay: lateness p99", backend, case, late_ms, 1, "ms"),
        note("relay: share of a core at 60 Mbit/s", backend, case, 100 * share, 25, "%"),
    ]
    assert all(passed)


@pytest.mark.parametrize("loss", [0.01, GilbertElliott(0.01, 0.25)], ids=["random", "gemodel"])
def test_loss_over_20000_packets(backend: Backend, loss: float | GilbertElliott) -> None:
    """Inside 99 % bounds; the same seed gives the same drops."""
    spec = LinkSpec(57, 57, 14, 14, impairments_up=Impairments(loss=loss), seed=3)
    lost = []
    with Sandbox() as sandbox:
        applied = apply(sandbox, spec, relay_cpu=0)
        for _ in range(2):
            if applied.relay is not None:
                applied.relay.reset()
            lost.append(send_packets(sandbox, PACKETS).lost)
    rate = spec.impairments_up.loss_rate
    inflation = (2 - 0.26) / 0.26 if isinstance(loss, GilbertElliott) else 1
    bound = Z_99 * math.sqrt(rate * (1 - rate) * inflation / PACKETS)
    case = "Gilbert-Elliott 1 %, 25 %" if isinstance(loss, GilbertElliott) else "random 1 %"
    off = abs(len(lost[0]) / PACKETS - rate)
    assert note("loss inside 99 % bounds", backend, case, 100 * off, 100 * bound, "%", lost=len(lost[0]))
    if backend == "relay":
        differ = len(set(lost[0]) ^ set(lost[1]))
        assert note("same seed, same drops", backend, case, differ, 0, "packets")


@pytest.mark.parametrize("distribution", ["normal", "pareto", "uniform"])
def test_jitter_over_20000_packets(backend: Backend, distribution: Any) -> None:
    """Mean and deviation inside 99 % bounds, beside the link's own tolerance of 0.5 ms for the mean."""
    deviation_ms = 2 / math.sqrt(3) if distribution == "uniform" else 2.0
    impairments = Impairments(jitter_ms=2, jitter_distribution=distribution)
    delays_ms = delays_between_ends_ms(LinkSpec(57, 57, DELAY_MS, DELAY_MS, impairments_up=impairments, seed=3))
    fourth = statistics.fmean((delay - statistics.fmean(delays_ms)) ** 4 for delay in delays_ms)
    kurtosis = fourth / statistics.pvariance(delays_ms) ** 2
    bound_ms = Z_99 * deviation_ms * math.sqrt((kurtosis - 1) / (4 * len(delays_ms)))
    mean_off_ms = abs(statistics.fmean(delays_ms) - DELAY_MS)
    mean_bound_ms = 0.5 + Z_99 * deviation_ms / math.sqrt(len(delays_ms))
    off_ms = abs(statistics.pstdev(delays_ms) - deviation_ms)
    passed = [
        note("jitter: mean", backend, distribution, mean_off_ms, mean_bound_ms, "ms"),
        note("jitter: deviation inside 99 % bounds", backend, distribution, off_ms, bound_ms, "ms"),
    ]
    assert all(passed)


def delays_between_ends_ms(spec: LinkSpec) -> list[float]:
    """One a packet: as captured where the link begins and ends, or, where netem is the beginning, since it was sent."""
    with Sandbox() as sandbox:
        applied = apply(sandbox, spec, relay_cpu=0)
        if applied.relay is None:
            return list(send_packets(sandbox, PACKETS, packets_per_s=PACKETS_PER_S).delays_ms)
        captures = (
            Capture(sandbox, "middle", MIDDLE_INTERFACES["device"]),
            Capture(sandbox, "edge", INTERFACES["edge"]),
        )
        with draining(*captures):
            send_packets(sandbox, PACKETS, packets_per_s=PACKETS_PER_S)
    came_ms, went_ms = (capture.numbered_ms() for capture in captures)
    return [went_ms[number] - came_ms[number] for number in went_ms]


def test_apply_in_netlink_alone(backend: Backend) -> None:
    """Under 50 ms, and a share of what the same lines take as ``ip`` and ``tc`` processes."""
    figures, steps, typed_ms = [], [], []
    for _ in range(9):
        with Sandbox() as sandbox:
            applied = apply(sandbox, LinkSpec(57, 57, 14, 14), calibrate=False)
            figures.append(applied.netlink_ms)
            steps.append({name: round(took, 1) for name, took in applied.netlink_steps_ms.items()})
        time.sleep(0.3)  # the kernel takes namespaces down in the background, and holds the lock of all netlink
    median = sorted(range(9), key=figures.__getitem__)[4]
    spread = [round(figure, 1) for figure in sorted(figures)]
    passed = [note("apply, netlink alone", backend, "median of 9", figures[median], 50, "ms", steps_ms=steps[median],
                   all_ms=spread)]  # fmt: skip
    if not commands.missing() and not missing_qdiscs("rate-only"):
        spec, ours_ms = LinkSpec(57, 57, 0, 0), []
        for _ in range(5):
            with Sandbox() as sandbox:
                ours_ms.append(apply(sandbox, spec, backend="rate-only", calibrate=False).netlink_ms)
            time.sleep(0.3)
            with Sandbox() as sandbox:
                typed_ms.append(commands.run_planned(sandbox, spec, "rate-only"))
            time.sleep(0.3)
        ratio = statistics.median(ours_ms) / statistics.median(typed_ms)
        passed.append(
            note("apply, of what ip and tc processes take", "rate-only", "median of 5", 100 * ratio, 100, "%",
                 netlink_ms=round(statistics.median(ours_ms), 1), processes_ms=round(statistics.median(typed_ms), 1))
        )  # fmt: skip
    assert all(passed)


@pytest.mark.parametrize("kind", ["relay", "rate-only", "netem"])
def test_a_thousand_changes_under_load(kind: Backend) -> None:
    """Not one frame faster than the link allows."""
    if missing := missing_qdiscs(kind):
        pytest.skip(f"this kernel has no {', '.join(missing)}: netem is judged in User-Mode Linux")
    proof = vars(changes_under_load(kind, 1000))
    assert too_fast(kind, proof)


def test_a_thousand_changes_under_load_on_sch_netem(in_uml: dict[str, Any]) -> None:
    """The same, frame by frame."""
    assert too_fast("netem in UML", in_uml["changes"])


def too_fast(backend: str, proof: dict[str, Any]) -> bool:
    """Writes down how far the hastiest frame was ahead, in time (relay) or in bytes (one frame is htb's credit)."""
    bar = f"{proof['changes']} changes under load: the hastiest frame"
    if proof["earliest_lead_ms"] is not None:
        return note(bar, backend, "ahead of the link", max(0, proof["earliest_lead_ms"]), 0.02, "ms", **proof)
    return note(bar, backend, "over the bucket", max(0, proof["excess_bytes"]), 1514, "bytes", **proof)
