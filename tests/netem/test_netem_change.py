"""A live link changed in place, impaired, and taken away again."""

import math
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest

from netem import (
    CapabilityError,
    Impairments,
    LinkSpec,
    LinkSpecError,
    Sandbox,
    ShapingError,
    TcpPolicy,
    apply,
    change,
    planned_commands,
    restore,
    transfer_times_ms,
)
from netem.packet_probe import send_packets

pytestmark = pytest.mark.link

SPEC = LinkSpec(57, 57, 5, 5)


def test_delay_and_rate_change_in_place(sandbox: Sandbox) -> None:
    applied = apply(sandbox, SPEC, relay_cpu=0)
    changed = change(sandbox, applied, replace(SPEC, rate_up_mbps=10, delay_up_ms=25))
    assert statistics.median(send_packets(sandbox, 100, packets_per_s=500).delays_ms) == pytest.approx(25, abs=1)
    assert min(transfer_times_ms(sandbox, [200_000] * 4)) > 150
    back = change(sandbox, changed, SPEC)
    assert back.spec == SPEC
    assert statistics.median(send_packets(sandbox, 100, packets_per_s=500).delays_ms) == pytest.approx(5, abs=1)


def test_what_cannot_change_in_place_is_refused(sandbox: Sandbox) -> None:
    applied = apply(sandbox, SPEC, calibrate=False)
    for other in (replace(SPEC, mtu=1400), replace(SPEC, tcp=TcpPolicy(congestion_control=None))):
        with pytest.raises(LinkSpecError, match="in place"):
            change(sandbox, applied, other)


def test_restoring_puts_back_what_was_there(sandbox: Sandbox) -> None:
    def state() -> list[str]:
        sysctl = "/proc/sys/net/ipv4/tcp_slow_start_after_idle"
        return [
            sandbox.call(where, lambda path=path: ":".join(sorted(Path(path).read_text().split())))  # type: ignore[misc]
            for where in ("device", "edge")
            for path in (sysctl, "/proc/net/route")
        ]

    before = state()
    applied = apply(sandbox, SPEC, calibrate=False)
    assert state() != before
    restore(sandbox, applied)
    assert state() == before
    assert apply(sandbox, SPEC, calibrate=False).backend == applied.backend


def test_a_link_whose_relay_was_killed_says_so_and_can_be_taken_away(sandbox: Sandbox) -> None:
    applied = apply(sandbox, SPEC, backend="relay", calibrate=False)
    assert applied.relay is not None
    applied.relay._process.kill()
    applied.relay._process.wait()
    time.sleep(0.2)  # until its end of the pipe is closed
    with pytest.raises(ShapingError, match="link is down"):
        change(sandbox, applied, replace(SPEC, rate_up_mbps=10))
    restore(sandbox, applied)
    apply(sandbox, SPEC, backend="relay", calibrate=False)


def test_the_same_seed_loses_the_same_packets(sandbox: Sandbox) -> None:
    applied = apply(sandbox, replace(SPEC, impairments_up=Impairments(loss=0.05), seed=11), relay_cpu=0)
    if applied.relay is None:
        pytest.skip("the kernel's netem takes a seed only from Linux 6.6 on")
    lost = []
    for _ in range(2):
        applied.relay.reset()
        lost.append(send_packets(sandbox, 3000).lost)
    assert lost[0] == lost[1]
    assert len(lost[0]) == pytest.approx(150, abs=2.576 * math.sqrt(3000 * 0.05 * 0.95))
    assert applied.relay.statistics()["up"]["lost"] == len(lost[1])


def test_duplicates_corruption_and_reordering_on_the_wire(sandbox: Sandbox) -> None:
    impairments = Impairments(duplicate=0.1, reorder=0.1, corrupt=0.1)
    applied = apply(sandbox, replace(SPEC, impairments_up=impairments), relay_cpu=0)
    report = send_packets(sandbox, 2000, packets_per_s=2000)
    assert report.duplicates == pytest.approx(200, abs=60)
    assert report.reordered > 50
    # A turned-over bit breaks a checksum, so the receiver's kernel drops the packet.
    assert len(report.lost) == pytest.approx(180, abs=60)
    assert applied.backend == "netem" or any(
        "corrupt 10" in line for line in planned_commands(applied.spec or SPEC, "relay")
    )


def test_no_probe_is_lost_to_a_link_that_loses_everything(sandbox: Sandbox) -> None:
    everything = replace(SPEC, impairments_up=Impairments(loss=1.0))
    assert apply(sandbox, everything).congestion_control["device"] == "cubic"


def test_a_delay_is_not_left_out_in_silence(sandbox: Sandbox) -> None:
    with pytest.raises(CapabilityError, match="allow-no-delay"):
        apply(sandbox, SPEC, backend="rate-only")
    applied = apply(sandbox, SPEC, backend="rate-only", allow_no_delay=True)
    assert "10 ms of delay" in applied.notes[0]
    assert min(transfer_times_ms(sandbox, [200_000] * 3)) == pytest.approx(27.2, abs=5)
