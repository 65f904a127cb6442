"""What is in force while a cell measures, on a live link without the tiers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from harness.testbed.conditions import TRACE, Conditions, changes, shaping
from netem import AppliedLink, CapabilityError, Sandbox, apply, choose_backend, transfer_times_ms
from netem.packet_probe import send_packets
from tests.testbed.test_testbed_link import spec

pytestmark = pytest.mark.link

SYSCTL = "/proc/sys/net/ipv4/tcp_slow_start_after_idle"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    with Sandbox() as entered:
        yield entered


@pytest.fixture(scope="module")
def applied(sandbox: Sandbox) -> AppliedLink:
    return apply(sandbox, Conditions(spec("latency=10")).plain, relay_cpu=0)


def test_a_plain_cell_changes_nothing(sandbox: Sandbox, applied: AppliedLink, tmp_path: Path) -> None:
    conditions = Conditions(spec("latency=10"))
    with conditions.in_force(sandbox, applied, tmp_path):
        pass
    found = conditions.aftermath(sandbox, applied)
    assert list(tmp_path.iterdir()) == []
    assert found["notes"] == []
    assert "trace" not in found
    assert found["testbed_after"] == {"offloads": applied.offloads, "sysctls": applied.sysctls}


def test_loss_is_there_only_while_it_measures(sandbox: Sandbox, applied: AppliedLink, tmp_path: Path) -> None:
    conditions = Conditions(spec("latency=10", "link.loss=0.5", "link.impair=up", "link.seed=3"))
    assert conditions.plain == Conditions(spec("latency=10", "link.seed=3")).plain
    lost = []
    for _ in range(2):
        with conditions.in_force(sandbox, applied, tmp_path):
            lost.append(send_packets(sandbox, 400).lost)
    assert 120 < len(lost[0]) < 280
    if applied.backend == "relay":
        assert lost[0] == lost[1]
        found = conditions.aftermath(sandbox, applied)
        assert found["relay"]["up"]["lost"] == len(lost[1])
        assert found["testbed_measuring"]["backend"] == "relay"
    assert send_packets(sandbox, 400).lost == ()


def test_a_trace_is_replayed_and_written(sandbox: Sandbox, applied: AppliedLink, tmp_path: Path) -> None:
    path = tmp_path / "up.csv"
    path.write_text("t_s,rate_mbps,delay_ms\n0,40,5\n0.2,4,\n0.25,4,\n")
    conditions = Conditions(spec("latency=10", "link=trace", f"link.trace={path}"))
    with conditions.in_force(sandbox, applied, tmp_path):
        sleep(0.4)
        slow_ms = min(transfer_times_ms(sandbox, [200_000] * 2))
    assert slow_ms > 2.5 * min(transfer_times_ms(sandbox, [200_000] * 3))  # the plain link is the trace's mean again
    with (tmp_path / TRACE).open() as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["t_s"]), float(row["rate_mbps"])) for row in rows] == [(0, 40), (0.2, 4), (0.25, 4)]
    found = conditions.aftermath(sandbox, applied)
    assert found["trace"] | {"steps": 3, "steps_in_trace": 3, "file": "up.csv"} == found["trace"]
    assert found["trace"]["lateness_p99_ms"] >= found["trace"]["lateness_p50_ms"] >= 0
    assert len(found["trace"]["sha256"]) == 64
    (note,) = found["notes"]
    assert "link.loop=true" in note


def test_a_trace_is_written_also_where_the_cell_failed(sandbox: Sandbox, applied: AppliedLink, tmp_path: Path) -> None:
    conditions = Conditions(spec("latency=10", "link=fiveg"))

    def fail() -> None:
        with conditions.in_force(sandbox, applied, tmp_path):
            raise RuntimeError("the cell failed")

    with pytest.raises(RuntimeError, match="the cell failed"):
        fail()
    assert (tmp_path / TRACE).exists()


def test_a_setting_that_changed_is_noted(sandbox: Sandbox, applied: AppliedLink, tmp_path: Path) -> None:
    conditions = Conditions(spec("latency=10"))
    with conditions.in_force(sandbox, applied, tmp_path):
        sandbox.call("edge", lambda: Path(SYSCTL).write_text("1"))
    try:
        (note,) = conditions.aftermath(sandbox, applied)["notes"]
    finally:
        sandbox.call("edge", lambda: Path(SYSCTL).write_text("0"))
    assert note.startswith("not comparable: ")
    for part in ("net.ipv4.tcp_slow_start_after_idle", "edge", "'0'", "'1'"):
        assert part in note


def test_what_is_gone_counts_as_changed() -> None:
    before: dict[str, Any] = {"offloads": {"device": {"tso": False, "gro": True}}, "sysctls": {"device": {"a": "1"}}}
    assert changes(before, before) == []
    after = {"offloads": {"device": {"gro": True}}, "sysctls": {"device": {"a": "2"}}}
    assert len(changes(before, after)) == 2


def test_another_rate_and_other_qdiscs_count_as_changed() -> None:
    htb = {"kind": "htb", "handle": "2:", "rate_bytes_per_s": 7_125_000, "drops": 0}
    found = [{"kind": "noqueue", "drops": 0}], [htb, {"kind": "bfifo"}], [htb | {"drops": 9}, {"kind": "bfifo"}]
    plain, shaped, same = ({"qdiscs": {"device": {"uplink0": shaping(each)}}} for each in found)
    assert changes(shaped, same) == []
    (note,) = changes(plain, shaped)
    assert "qdiscs uplink0 of the device namespace was 'noqueue'" in note
    assert "'htb at 7125000 bytes/s, bfifo'" in note


def test_a_trace_is_replayed_also_where_it_begins_at_its_mean(
    sandbox: Sandbox, applied: AppliedLink, tmp_path: Path
) -> None:
    path = tmp_path / "up.csv"
    path.write_text("t_s,rate_mbps\n0,45\n0.1,30\n0.2,60\n")
    conditions = Conditions(spec("latency=10", "link=trace", f"link.trace={path}", "link.loop=true"))
    assert conditions.plain.rate_up_mbps == pytest.approx(45)
    with conditions.in_force(sandbox, applied, tmp_path):
        sleep(0.25)
    with (tmp_path / TRACE).open() as file:
        assert [float(row["rate_mbps"]) for row in csv.DictReader(file)][:3] == [45, 30, 60]
