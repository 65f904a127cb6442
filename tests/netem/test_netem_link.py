import dataclasses
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netem
from netem import GilbertElliott, Impairments, LinkSpec, LinkSpecError, TcpPolicy, planned_commands

PAPER = LinkSpec(rate_up_mbps=57, rate_down_mbps=1000, delay_up_ms=14, delay_down_ms=14)


@pytest.mark.parametrize(
    "change",
    [
        {"rate_up_mbps": 0},
        {"rate_up_mbps": -3},
        {"rate_down_mbps": math.nan},
        {"rate_down_mbps": "57"},
        {"delay_up_ms": math.inf},
        {"delay_down_ms": -1},
        {"mtu": 100},
        {"mtu": 1500.5},
        {"burst_bytes": 1500},
        {"queue_bytes": 0},
        {"queue_bytes": True},
    ],
)
def test_an_impossible_value_is_named_with_its_range(change: dict[str, object]) -> None:
    (name,) = change
    with pytest.raises(LinkSpecError, match=f"^{name} is .*: allowed is .* from .* to ") as caught:
        dataclasses.replace(PAPER, **change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a-name-of-16-char", "cübic"])
def test_a_congestion_control_the_kernel_cannot_hold(name: str) -> None:
    with pytest.raises(LinkSpecError, match="congestion_control"):
        TcpPolicy(congestion_control=name)


@given(st.floats(0.1, 1000), st.floats(0.1, 1000), st.floats(0, 200), st.floats(0, 200))
def test_one_connection_cannot_overflow_the_default_queue(up: float, down: float, there: float, back: float) -> None:
    spec = LinkSpec(up, down, there, back)
    assert spec.rtt_ms == there + back
    assert spec.queue_limit_bytes >= 2 * spec.send_buffer_bytes
    assert spec.send_buffer_bytes >= 4 * max(up, down) * 125 * spec.rtt_ms - 1
    assert json.loads(json.dumps(spec.as_dict()))["queue_bytes"] == spec.queue_limit_bytes


def test_a_spec_from_text() -> None:
    assert LinkSpec.parse("57mbit", "28ms", rate_down="1gbit") == PAPER
    assert LinkSpec.parse("37.5mbit", seed=3) == LinkSpec(37.5, 37.5, 0, 0, seed=3)
    with pytest.raises(LinkSpecError, match="28ms"):
        LinkSpec.parse("57mbit", "28")


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 1.5},
        {"loss": True},
        {"jitter_ms": -1},
        {"jitter_ms": math.nan},
        {"jitter_distribution": "gauss"},
        {"jitter_correlation": 2},
        {"reorder": "5%"},
        {"duplicate": math.inf},
        {"corrupt": -0.1},
    ],
)
def test_an_impossible_impairment_is_named_with_its_range(change: dict[str, object]) -> None:
    (name,) = change
    with pytest.raises(LinkSpecError, match=f"^{name} is .*: allowed (is|are) "):
        Impairments(**change)  # type: ignore[arg-type]


def test_a_connection_s_first_window_has_a_range() -> None:
    with pytest.raises(LinkSpecError, match="initial_window_segments is 0: allowed is a whole number from 1 to 1000"):
        TcpPolicy(initial_window_segments=0)
    assert "initcwnd 10" in "\n".join(planned_commands(PAPER, "relay"))


def test_a_chain_that_never_gets_better_is_refused() -> None:
    assert GilbertElliott(0.01, 0.25).loss == pytest.approx(0.01 / 0.26)
    with pytest.raises(LinkSpecError, match="to_good"):
        GilbertElliott(0.1, 0)


def test_the_plan_names_rate_delay_and_congestion_control() -> None:
    in_kernel = "\n".join(planned_commands(PAPER, "netem"))
    assert "parent 1:1 handle 2: htb default 1" in in_kernel
    assert "parent 2: classid 2:1 htb rate 57000000bit burst 13486 cburst 13486" in in_kernel
    assert "root handle 1: netem delay 14000us" in in_kernel
    assert in_kernel.count("congctl cubic") == 2
    with_relay = "\n".join(planned_commands(PAPER, "relay"))
    assert "relay device to the other end: rate 57mbit burst 15000" in with_relay
    assert "netem delay" not in with_relay


def test_every_public_name_is_there() -> None:
    assert all(hasattr(netem, name) for name in netem.__all__)
    assert callable(netem.probe)


def test_importing_loads_neither_netlink_nor_numpy() -> None:
    code = "import sys, netem, netem.theory; print([m for m in ('pyroute2', 'numpy', 'harness') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_what_the_kernel_counts_in_holds_the_buffers_of_the_longest_link() -> None:
    spec = LinkSpec(10_000, 10_000, 10_000, 10_000)
    assert 2 * spec.send_buffer_bytes <= spec.queue_limit_bytes < 2**31
