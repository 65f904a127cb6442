"""``python -m netem``: as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LINK = ("--rate", "57mbit", "--rtt", "8ms")


def netem(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "netem", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)


def test_the_plan_is_ip_and_tc_lines() -> None:
    result = netem("plan", *LINK, "--backend", "netem", "--loss-gemodel", "1%,25%", "--jitter", "1ms")
    assert result.returncode == 0, result.stderr
    assert "tc -n device qdisc replace dev uplink0 root handle 1: netem delay 4000us 1000us" in result.stdout
    assert "loss gemodel 1.000000% 25.000000% 100.000000% 0.000000%" in result.stdout
    assert "rate 57000000bit" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("plan", "--rate", "57"), "not a number with a unit"),
        (("plan", "--rate", "57mbit", "--rtt=-1ms"), "not a number with a unit"),
        (("plan", "--rate", "57mbit", "--loss", "200%"), "loss is 2.0: allowed is a fraction from 0 to 1"),
        (("plan", "--rate", "57mbit", "--loss", "much"), "share 'much' is not a number"),
        (("plan", "--rate", "57mbit", "--loss-gemodel", "1%"), "two to four shares"),
        (("plan", "--rate", "57mbit", "--congestion-control", "a-name-of-16-char"), "congestion_control"),
        (("exec", *LINK), "no command was given"),
        (("exec", *LINK, "--edge", "echo 'open", "--", "true"), "cannot be split"),
        (("exec", *LINK, "--trace", "nowhere.csv", "--", "true"), "cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_2(arguments: tuple[str, ...], complaint: str) -> None:
    result = netem(*arguments)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.link
def test_exec_runs_a_command_at_each_end(host_backend: str) -> None:
    device = "echo to $NETEM_EDGE from $NETEM_DEVICE; grep -c link0 /proc/net/dev; exit 7"
    edge = "sh -c 'echo \"$HOME is unsplit; $NETEM_EDGE\"'"
    result = netem("exec", *LINK, "--edge", edge, "--", "sh", "-c", f"{device}")
    assert result.returncode == 7, result.stderr
    assert result.stdout.splitlines() == ["to 198.18.0.2 from 198.18.0.1", "1"]
    assert "is unsplit; 198.18.0.2" in result.stderr


@pytest.mark.link
def test_the_edge_s_command_sees_no_shell(host_backend: str) -> None:
    result = netem("exec", *LINK, "--edge", "echo $NETEM_EDGE ; false", "--", "sleep", "0.3")
    assert result.returncode == 0
    assert "$NETEM_EDGE ; false" in result.stderr


@pytest.mark.link
def test_exec_tells_of_a_signal_as_a_shell_does(host_backend: str) -> None:
    assert netem("exec", *LINK, "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15


@pytest.mark.link
def test_a_delay_is_not_left_out_in_silence(host_backend: str) -> None:
    refused = netem("exec", *LINK, "--backend", "rate-only", "--", "true")
    assert refused.returncode == 1
    assert "--allow-no-delay" in refused.stderr
    marked = netem("exec", *LINK, "--backend", "rate-only", "--allow-no-delay", "--", "true")
    assert marked.returncode == 0, marked.stderr
    assert "leaves out 8 ms of delay" in marked.stderr


@pytest.mark.link
def test_check_reports_what_was_asked_and_measured(host_backend: str) -> None:
    result = netem("check", *LINK, "--tolerance", "0.2", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["probe"]["requested"]["rate_up_mbps"] == 57
    assert found["link"]["backend"] == host_backend


def test_capabilities_say_why_not() -> None:
    result = netem("capabilities", "--json")
    assert result.returncode == 0, result.stderr
    found = {capability["name"]: capability for capability in json.loads(result.stdout)}
    assert {"sandbox", "netem", "rate-only", "relay", "user-namespaces", "cubic", "real-time"} == found.keys()
    assert all(capability["detail"] for capability in found.values())
