"""Two namespaces of a sandbox with a plain veth between them: what a named interface is to the tests."""

import os
import subprocess
from collections.abc import Callable
from typing import TypeVar

from netem import Sandbox, echo

T = TypeVar("T")

INTERFACE = "eth0"
ADDRESSES = {"device": "198.18.7.1", "edge": "198.18.7.2"}


def connect(sandbox: Sandbox) -> None:
    """Make the veth; both ends are called ``eth0``."""
    from pyroute2 import IPRoute

    def make() -> None:
        descriptor = os.open(sandbox.netns("edge"), os.O_RDONLY)
        with IPRoute() as ip:
            ip.link("add", ifname=INTERFACE, kind="veth", peer={"ifname": INTERFACE, "net_ns_fd": descriptor})
        os.close(descriptor)

    def bring_up(address: str) -> None:
        with IPRoute() as ip:
            index = ip.link_lookup(ifname=INTERFACE)[0]
            ip.addr("add", index=index, address=address, prefixlen=24)
            ip.link("set", index=index, state="up")

    sandbox.call("device", make)
    for where, address in ADDRESSES.items():
        sandbox.call(where, lambda address=address: bring_up(address))  # type: ignore[arg-type, misc]


def on_the_board(sandbox: Sandbox, function: Callable[[], T]) -> T:
    """Run a function where the interface that is shaped lives."""
    return sandbox.call("device", function)


def echo_ms(sandbox: Sandbox) -> float:
    """Median round trip of small echoes over the interface, the first of them left out."""

    def pinged() -> float:
        with echo.icmp_socket() as sock:
            return echo.median_ms(sock, ADDRESSES["edge"])

    return sandbox.call("device", pinged)


def told(sandbox: Sandbox, *command: str) -> str:
    """What a command prints there; fails where it fails."""
    process = sandbox.popen("device", command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors.decode()
    return output.decode()


def state(sandbox: Sandbox) -> str:
    """Everything of the interface that shaping could have changed; counters left out."""
    return told(
        sandbox,
        *("sh", "-c"),
        f"tc qdisc show; tc class show dev {INTERFACE}; tc filter show dev {INTERFACE}; "
        f"tc filter show dev {INTERFACE} parent ffff:; ip -d link show; ip route; "
        "cat /proc/sys/net/ipv4/tcp_slow_start_after_idle",
    )
