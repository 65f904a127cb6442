"""What ``plan`` prints does what ``apply`` does."""

import subprocess

import pytest

from netem import LinkSpec, Sandbox, TcpPolicy, apply, interfaces
from tests.netem import commands

pytestmark = pytest.mark.link

SPEC = LinkSpec(37.5, 1000, 0, 0, queue_bytes=500_000, mtu=1400, tcp=TcpPolicy(initial_window_segments=4))


def test_the_planned_lines_do_what_apply_does(host_backend: str) -> None:
    if name := commands.missing():
        pytest.skip(f"this host has no {name}")

    def route(sandbox: Sandbox) -> str:
        return sandbox.call("device", lambda: subprocess.check_output(["ip", "-d", "route"], text=True))

    def link(sandbox: Sandbox) -> str:
        text = sandbox.call(
            "edge", lambda: subprocess.check_output(["ip", "-d", "link", "show", "downlink0"], text=True)
        )
        return " ".join(word for word in text.split() if "@" not in word and not word.endswith(":"))

    with Sandbox() as ours, Sandbox() as typed:
        applied = apply(ours, SPEC, backend="rate-only")
        commands.run_planned(typed, SPEC, "rate-only")
        for where in ("device", "edge"):
            name = applied.interfaces[where]  # type: ignore[index]
            found = typed.call(where, lambda name=name: interfaces.qdiscs(name))  # type: ignore[arg-type, misc]
            for got, asked in zip(found, applied.qdiscs[where], strict=True):  # type: ignore[index]
                assert got.pop("burst_bytes", 0) == pytest.approx(asked.get("burst_bytes", 0), abs=200)
                assert got == {key: value for key, value in asked.items() if key != "burst_bytes"}
        assert route(typed) == route(ours)
        assert "initcwnd 4" in route(typed)
        assert "congctl cubic" in route(typed)
        for word in ("mtu 1400", "qlen 10000", "gso_max_segs 1"):
            assert word in link(typed)
            assert word in link(ours)
