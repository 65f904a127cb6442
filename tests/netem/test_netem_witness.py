"""An outside witness: what is captured on both ends, as tcpdump would, agrees with what the probe says."""

import statistics

import pytest

from netem import Impairments, LinkSpec, Sandbox, apply
from netem.packet_probe import send_packets
from tests.netem.capture import Capture, draining

pytestmark = pytest.mark.link


def test_both_ends_saw_what_the_probe_says(sandbox: Sandbox) -> None:
    spec = LinkSpec(57, 57, 14, 14, impairments_up=Impairments(loss=0.05), seed=5)
    applied = apply(sandbox, spec, relay_cpu=0)
    captures = (
        Capture(sandbox, "device", applied.interfaces["device"], outgoing=True),
        Capture(sandbox, "edge", applied.interfaces["edge"]),
    )
    with draining(*captures):
        report = send_packets(sandbox, 1000, packets_per_s=1000)
    sent_ms, came_ms = (capture.numbered_ms() for capture in captures)
    assert len(sent_ms) == 1000
    assert sorted(came_ms) == sorted(report.numbers)
    captured_ms = statistics.median(came_ms[number] - sent_ms[number] for number in came_ms)
    assert captured_ms == pytest.approx(statistics.median(report.delays_ms), abs=0.5)
    assert captured_ms == pytest.approx(14, abs=1)
