"""The netem backend on a live ``sch_netem``: Linux 6.1 as a process (User-Mode Linux), with this project in it.

One boot serves all tests (about 30 s). It is held to 2 % at the default burst. What a transfer's two processes take
there themselves is taken off: it is measured over the same link without delay.
"""

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from netem import transfer_ms
from tests.netem import uml as user_mode_linux

pytestmark = pytest.mark.link

SCENARIOS = Path(__file__).with_name("uml_scenarios.py")
TOLERANCE, FLOOR_MS = 0.02, 0.5
Results = dict[str, Any]


@pytest.fixture(scope="session")
def uml(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results of ``uml_scenarios.py``."""
    if reason := user_mode_linux.missing():
        pytest.skip(f"no live sch_netem: {reason}")
    try:
        return user_mode_linux.results_of(SCENARIOS, tmp_path_factory.mktemp("uml"), timeout_s=180)
    except user_mode_linux.NoUml as error:
        pytest.skip(f"no live sch_netem: {error}")


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
    shaped, bare = (found[name]["report"] for name in ("shaped", "bare"))
    assert found["applied"]["backend"] == shaped["backend"] == "netem"
    assert found["applied"]["congestion_control"] == {"device": "cubic", "edge": "cubic"}
    for name, asked in {"rate_up_mbps": 30, "rate_down_mbps": 60}.items():
        assert shaped["achieved"][name] == pytest.approx(asked, rel=TOLERANCE)
        assert bare["achieved"][name] == pytest.approx(asked, rel=TOLERANCE)
    for name, asked in {"rtt_ms": 30, "delay_up_ms": 10, "delay_down_ms": 20}.items():
        assert shaped["achieved"][name] == pytest.approx(asked, abs=max(FLOOR_MS, TOLERANCE * asked))


@pytest.mark.parametrize("size", [10_000, 100_000, 400_000])
def test_warm_transfers_take_what_the_theory_says(uml: Results, size: int) -> None:
    found = of(uml, "the_link_and_its_probe")
    times_ms = {name: statistics.median(found[name]["times_ms"][str(size)]) for name in ("shaped", "bare")}
    theory_ms = transfer_ms(size, 30, 10, 30)
    # Over no delay at all, what is above theory is the probe's own: process start to last read.
    own_ms = times_ms["bare"] - transfer_ms(size, 30, 0, 0)
    assert 0 < own_ms < 1.5
    assert times_ms["shaped"] - own_ms == pytest.approx(theory_ms, abs=max(FLOOR_MS, TOLERANCE * theory_ms))


def test_changes_in_place_are_read_back_and_felt(uml: Results) -> None:
    found = of(uml, "changed_in_place_then_restored")
    impaired = found["impaired"]["qdiscs"]["device"][0]
    assert impaired["handle"] == found["plain"]["qdiscs"]["device"][0]["handle"] == "1:"
    assert impaired["jitter_us"] == 2000
    assert impaired["loss"] == pytest.approx([0.01, 0.25, 0.8, 0.001], abs=1e-8)
    assert impaired["delay_us"] == 15_000 - round(1000 * found["impaired"]["compensation_ms"])
    plain = found["plain"]["qdiscs"]["device"]
    assert plain[0]["loss"] == plain[0]["jitter_us"] == plain[0]["reorder"] == plain[0]["duplicate"] == 0
    assert (plain[1]["kind"], plain[1]["rate_bytes_per_s"]) == ("htb", 1_250_000)
    assert found["delay_ms"] == pytest.approx(5, abs=FLOOR_MS)
    assert found["lost"] == 0


def test_a_hundred_changes_under_load_and_not_one_frame_too_early(uml: Results) -> None:
    proof = of(uml, "a_hundred_changes_under_load")
    assert proof["changes"] == 100
    assert proof["carried_share"] > 0.5
    assert proof["excess_bytes"] <= 1514  # a frame is stamped a moment after htb let it go


def test_a_seed_that_the_kernel_ignores_is_noted(uml: Results) -> None:
    impaired = of(uml, "changed_in_place_then_restored")["impaired"]
    takes_seed = impaired["qdiscs"]["device"][0]["seed"] is not None
    assert takes_seed or any("no seed" in note for note in impaired["notes"])


@pytest.mark.parametrize("ingress", ["ifb", "police"])
def test_a_named_interface_delays_both_ways_and_is_restored(uml: Results, ingress: str) -> None:
    found = of(uml, "a_named_interface")
    assert found["restored"]
    shaped = found[ingress]
    assert (shaped["applied"]["backend"], shaped["applied"]["ingress"]) == ("netem", ingress)
    # 10 ms up and 20 ms down, of which the path has a part; without an ifb, all of it stands on the way out.
    assert shaped["rtt_ms"] == pytest.approx(30, abs=2 * FLOOR_MS)
    assert shaped["changed_rtt_ms"] == pytest.approx(60, abs=2 * FLOOR_MS)
    path_ms = shaped["applied"]["path_rtt_ms"]
    (delay,) = [qdisc["delay_us"] for qdisc in shaped["applied"]["qdiscs"]["egress"] if qdisc["kind"] == "netem"]
    assert delay == pytest.approx(
        1e3 * ((10 if ingress == "ifb" else 30) - path_ms / (2 if ingress == "ifb" else 1)), abs=1
    )


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
