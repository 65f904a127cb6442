"""The table of a long run: from looks and latencies whose growth is known, and from this very process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from experiments import footprint, soak
from experiments.footprint import Held
from experiments.soak import Look, Took
from harness.offloader.runner import measure
from harness.results.schema import Key, Sample

KEY = Key("split", 35, "maxpool")
HOUR_S = 3600.0


def looks(grown: float = 0.0, more_files: int = 0, other_pid: bool = False) -> list[Look]:
    """An hour of two processes, one of which grows evenly after the first twelfth, by so much from window to window."""
    found = []
    for number in range(361):
        at_s = 10.0 * number
        share = max(0.0, at_s - 600.0) / (HOUR_S - 300.0 - 600.0)  # of the way between the windows' middles
        late = at_s > HOUR_S / 2
        agent = Held(8 if late and other_pid else 7, "agent", round(1e9 * (1 + grown * share)), 40 + more_files * late)
        server = (Held(5, "tritonserver", 300_000_000, 90), Held(6, "python stub", 800_000_000, 50))
        found.append(Look(at_s, (Held(1, "harness", 200_000_000, 30), agent, *server)))
    return found


def requests(network: float = 0.0, computed: float = 0.0) -> list[Took]:
    """Three requests a second; what network and tiers take grows by so much in the second half."""
    found = []
    for number in range(3 * int(HOUR_S) + 1):
        at_s, late = number / 3, number / 3 > HOUR_S / 2
        network_ms = 40.0 * (1 + network * late) + 0.2 * (number % 2)
        found.append(Took(at_s, str(KEY), network_ms + 60.0 * (1 + computed * late), network_ms))
    return found


def missed(own_looks: list[Look] | None = None, own_requests: list[Took] | None = None) -> list[str]:
    return soak.missed(soak.judged(own_looks or looks(), own_requests or requests()))


def test_the_windows_of_an_hour_and_of_less() -> None:
    assert soak.windows_s(HOUR_S) == ((300.0, 900.0), (3000.0, 3600.0))
    first, last = soak.windows_s(720.0)
    assert first == pytest.approx((60.0, 280.0))
    assert last == pytest.approx((500.0, 720.0))


def test_an_even_hour_misses_nothing() -> None:
    found = soak.judged(looks(), requests())
    assert soak.missed(found) == []
    assert found["processes"]["agent"] == {"memory_bytes": [1e9, 1e9], "growth": 0.0, "open_files": [40, 40]}
    assert not found["replaced"]
    network = found["requests"][str(KEY)]["network"]
    assert network["drift"] == pytest.approx(0)
    assert network["floor"] == pytest.approx(0.2 / 40, rel=0.01)


def test_each_bar_is_missed_by_what_it_is_for() -> None:
    (memory,) = missed(looks(grown=0.03))
    assert memory == "memory of agent grew by 3.0%"
    assert missed(looks(grown=0.015)) == []
    (files,) = missed(looks(more_files=1))
    assert files == "open files of agent: 41 instead of 40"
    assert missed(looks(other_pid=True)) == ["a process was replaced by another"]
    (network,) = missed(own_requests=requests(network=0.03))
    assert "longer by 3" in network
    assert missed(own_requests=requests(network=0.01, computed=0.05)) == []
    assert missed(own_requests=requests(network=-0.05)) == []


def test_what_was_not_seen_is_missed() -> None:
    without = [Look(look.at_s, tuple(own for own in look.held if own.role != "agent")) for look in looks()]
    assert missed(without) == ["agent was not seen"]
    assert "no request was measured" in soak.missed(soak.judged(looks(), []))


def test_the_table_says_what_was_missed() -> None:
    records = {"good": soak.judged(looks(), requests()), "bad": soak.judged(looks(more_files=2), requests())}
    text = soak.table(json.loads(json.dumps(records)))
    assert "| agent | 1000.0 | 1000.0 | +0.0 | 40 | 40 |" in text
    assert f"| {KEY} | 10801 |" in text
    good, bad = text.split("## ")[1:]
    assert "Every bar was kept." in good
    assert "- open files of agent: 42 instead of 40" in bad


def test_what_is_on_disk_is_read_as_it_was(tmp_path: Path) -> None:
    for path, records in ((tmp_path / "looks", looks()[:3]), (tmp_path / "requests", requests()[:3])):
        path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in records))
    assert soak.read_looks(tmp_path / "looks") == looks()[:3]
    assert soak.read_requests(tmp_path / "requests") == requests()[:3]


def test_a_request_is_split_into_tiers_and_network() -> None:
    terms: dict[str, Any] = {"device": 20.0, "serialize": 1.0, "uplink": 30.0, "queue": 1.0, "edge": 10.0}
    sample = Sample(KEY, 0, 80.0, terms | {"downlink": 14.0}, 4.0)
    assert Took.of(1.0, measure(KEY), sample) == Took(1.0, str(KEY), 80.0, 48.0)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (b"/venv/bin/python\0-c\0run\0/code\0netem.enter\0{}\0/wheel/bin/tritonserver\0--model\0", "launchers"),
        (b"/venv/bin/python\0-c\0run\0/code\0netem.relay\0{}\0", "relay"),
        (b"/wheel/bin/tritonserver\0--model-repository=/tmp/triton/models\0", "tritonserver"),
        (b"/tmp/triton/backends/python/triton_python_backend_stub\0/tmp/model.py\0", "python stub"),
        (b"/venv/bin/python\0-m\0harness.testbed.agent\0--socket\0/tmp/agent.sock\0", "agent"),
        (b"/bin/sh\0", "others"),
    ],
)
def test_a_process_is_known_by_its_command(command: bytes, role: str) -> None:
    assert footprint.role_of(command) == role


def test_memory_is_what_is_private() -> None:
    rollup = "Rss: 900 kB\nShared_Clean: 500 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  20 kB\nSwap: 1 kB\n"
    assert footprint.private_bytes(rollup) == 120 * 1024


def test_this_process_and_what_it_started_are_found() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout is not None
        child.stdout.readline()
        found = {own.pid: own for own in footprint.held(os.getpid())}
        child.communicate(b"\n")
    assert found[os.getpid()].role == "harness"
    assert found[child.pid].role == "others"
    assert all(own.private_bytes > 0 and own.open_files >= 3 for own in (found[os.getpid()], found[child.pid]))
