"""The netem backend on a live ``sch_netem``: Linux 6.1 as a process (User-Mode Linux), with this project in it.

One boot serves all tests (about 30 s). Its one virtual core has a coarse clock, hence 2 % and not 1 %.
"""

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netem import transfer_ms

pytestmark = pytest.mark.link

PROJECT = Path(__file__).resolve().parents[2]
MODULES = Path("/usr/lib/uml/modules")
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={project}
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/shm
for module in drivers/net/veth net/sched/sch_netem net/sched/sch_tbf; do
    insmod {modules}/$(uname -r)/kernel/$module.ko
done
cd {project}
{python} {project}/tests/netem/uml_scenarios.py {result} 2>&1
halt -f
"""
Results = dict[str, Any]


def missing() -> str | None:
    """Why User-Mode Linux cannot run here; None where it can."""
    if os.geteuid() != 0:
        return "User-Mode Linux is started as root, for the host's files to be its own"
    if not (shutil.which("linux.uml") and shutil.which("insmod") and MODULES.is_dir()):
        return "the Debian packages user-mode-linux and kmod are not installed (tests/netem/install_uml.sh)"
    return None


@pytest.fixture(scope="session")
def uml(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results of ``uml_scenarios.py``."""
    if reason := missing():
        pytest.skip(f"no live sch_netem: {reason}")
    folder = tmp_path_factory.mktemp("uml")
    result, init = folder / "result.json", folder / "init.sh"
    init.write_text(INIT.format(project=PROJECT, modules=MODULES, python=sys.executable, result=result))
    init.chmod(0o755)
    kernel = ["linux.uml", "mem=768M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"]
    kernel += ["con=null", "con0=fd:0,fd:1", "quiet"]
    environment = {**os.environ, "TMPDIR": "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(folder)}
    with (folder / "console.log").open("wb") as console:
        process = subprocess.Popen(
            kernel,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            process.wait(180)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
    text = (folder / "console.log").read_text(errors="replace")
    if not result.exists():
        if "Kernel panic" in text or "kernel" not in text.lower():
            pytest.skip(f"User-Mode Linux does not boot here: {text.strip().splitlines()[-1:]}")
        pytest.fail(text)
    results: Results = json.loads(result.read_text())
    return results


def of(uml: Results, scenario: str) -> Any:
    """A scenario's value; what it raised, if it did, fails the test."""
    value = uml.get(scenario, {"error": f"{scenario} did not run"})
    if isinstance(value, dict) and "error" in value:
        pytest.fail(value["error"])
    return value


def test_the_kernel_there_has_netem(uml: Results) -> None:
    assert of(uml, "backend") == "netem"


def test_every_option_comes_back_as_it_was_set(uml: Results) -> None:
    found = of(uml, "every_option_read_back")["first"]
    described = found["described"]
    assert described["delay_us"] == 15_000
    assert described["jitter_us"] == 3_000
    assert described["limit_packets"] == 777
    assert described["loss"] == pytest.approx([0.01, 0.25, 0.8, 0.001], abs=1e-8)
    assert described["duplicate"] == pytest.approx(0.02, abs=1e-8)
    assert described["reorder"] == pytest.approx(0.03, abs=1e-8)
    assert described["corrupt"] == pytest.approx(0.01, abs=1e-8)
    assert described["jitter_correlation"] == pytest.approx(0.1, abs=1e-8)
    assert found["TCA_NETEM_CORR"]["dup_corr"] == pytest.approx(0.05 * 2**32, abs=2)
    assert found["TCA_NETEM_REORDER"]["corr_reorder"] == pytest.approx(0.5 * 2**32, abs=2)
    assert found["TCA_NETEM_CORRUPT"]["corr_corrupt"] == pytest.approx(0.2 * 2**32, abs=2)
    assert found["TCA_NETEM_RATE"]["rate"] == 7_500_000
    assert found["TCA_NETEM_RATE"]["packet_overhead"] == 4
    assert found["TCA_NETEM_SLOT"]["max_delay"] == 2000
    assert found["TCA_NETEM_SLOT"]["max_bytes"] == 7000
    assert found["TCA_NETEM_ECN"] == "1"


def test_a_change_leaves_nothing_of_what_was_before(uml: Results) -> None:
    found = of(uml, "every_option_read_back")["second"]
    described = found["described"]
    assert described["loss"] == pytest.approx(0.015, abs=1e-8)
    assert described["delay_us"] == 5_000
    assert described["jitter_us"] == described["duplicate"] == described["reorder"] == described["corrupt"] == 0
    assert found["TCA_NETEM_RATE64"] == "8000000000"
    states = of(uml, "every_option_read_back")["third"]["TCA_NETEM_LOSS"]["NETEM_LOSS_GI"]
    expected = {"p13": 0.01, "p31": 0.02, "p32": 0.03, "p23": 0.04, "p14": 0.05}
    assert states == {name: pytest.approx(share * 2**32, abs=2) for name, share in expected.items()}


def test_the_link_is_the_one_asked_for(uml: Results) -> None:
    found = of(uml, "the_link_and_its_probe")
    achieved = found["report"]["achieved"]
    assert found["applied"]["backend"] == found["report"]["backend"] == "netem"
    assert achieved["rate_up_mbps"] == pytest.approx(30, rel=0.02)
    assert achieved["rate_down_mbps"] == pytest.approx(60, rel=0.02)
    assert achieved["rtt_ms"] == pytest.approx(30, abs=1.5)  # four wake-ups of a coarse clock
    assert achieved["delay_up_ms"] == pytest.approx(10, abs=1)
    assert found["applied"]["congestion_control"] == {"device": "cubic", "edge": "cubic"}


@pytest.mark.parametrize("size", [100_000, 400_000])
def test_warm_transfers_take_what_the_theory_says(uml: Results, size: int) -> None:
    times_ms = of(uml, "the_link_and_its_probe")[f"times_{size // 1000}_kb_ms"]
    theory_ms = transfer_ms(size, 30, 10, 30, burst_bytes=60_000)
    assert statistics.median(times_ms) == pytest.approx(theory_ms, abs=max(1.0, 0.02 * theory_ms))


def test_changes_in_place_are_read_back_and_felt(uml: Results) -> None:
    found = of(uml, "changed_in_place_then_restored")
    impaired = found["impaired"]["qdiscs"]["device"][0]
    assert impaired["handle"] == found["plain"]["qdiscs"]["device"][0]["handle"] == "1:"
    assert impaired["jitter_us"] == 2000
    assert impaired["loss"] == pytest.approx([0.01, 0.25, 0.8, 0.001], abs=1e-8)
    assert impaired["delay_us"] == 15_000
    plain = found["plain"]["qdiscs"]["device"]
    assert plain[0]["loss"] == plain[0]["jitter_us"] == plain[0]["reorder"] == plain[0]["duplicate"] == 0
    assert plain[1]["rate_bytes_per_s"] == 1_250_000
    assert found["delay_ms"] == pytest.approx(5, abs=1)
    assert found["lost"] == 0


def test_a_seed_that_the_kernel_ignores_is_noted(uml: Results) -> None:
    impaired = of(uml, "changed_in_place_then_restored")["impaired"]
    takes_seed = impaired["qdiscs"]["device"][0]["seed"] is not None
    assert takes_seed or any("no seed" in note for note in impaired["notes"])


def test_restoring_leaves_what_was_there(uml: Results) -> None:
    found = of(uml, "changed_in_place_then_restored")
    assert all("link0" not in text for text in found["interfaces"])
    before, after = found["sysctl"]
    assert before == after


@pytest.mark.parametrize(("name", "rate"), [("loss", 0.01), ("bursts", 0.01 / 0.26)])
def test_loss_rates_over_20000_packets(uml: Results, name: str, rate: float) -> None:
    fate = of(uml, "the_fate_of_20000_packets")[name]
    # Losses in bursts of 1/r = 4 vary more: by (2 - p - r) / (p + r) as often (the chain's autocorrelation).
    inflation = 1.0 if name == "loss" else (2 - 0.26) / 0.26
    bound = 2.576 * math.sqrt(rate * (1 - rate) * inflation / fate["sent"])
    assert len(fate["lost"]) / fate["sent"] == pytest.approx(rate, abs=bound)


def test_jitter_has_the_deviation_asked_for(uml: Results) -> None:
    fates = of(uml, "the_fate_of_20000_packets")
    fate = fates["jitter"]
    assert fate["mean_ms"] == pytest.approx(10, abs=1.2)
    # A kernel that is a process has a clock that wavers by itself: as much as without jitter, taken off as a variance.
    own_ms = fates["loss"]["deviation_ms"]
    assert max(0.0, fate["deviation_ms"] ** 2 - own_ms**2) ** 0.5 == pytest.approx(2, abs=0.3)
