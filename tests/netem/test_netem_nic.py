"""A named interface as a link: only the peer is felt, somebody else's qdiscs stay, and everything is put back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netem import CapabilityError, Impairments, LinkSpec, LinkSpecError, Sandbox, ShapingError, interfaces
from netem.nic import AppliedNic, NicLink, apply, change, keeping, restore
from tests.netem.plain_veth import ADDRESSES, INTERFACE, connect, on_the_board, state, told

pytestmark = pytest.mark.link

LINK = LinkSpec(rate_up_mbps=8, rate_down_mbps=16, delay_up_ms=0, delay_down_ms=0)
NIC = NicLink(INTERFACE, ADDRESSES["edge"], LINK)
TBF = "root handle 7: tbf rate 90mbit burst 20kb latency 40ms"
FOREIGN = {
    "a classless root": (f"qdisc add dev {INTERFACE} {TBF}",),
    "a tree with a filter": (
        f"qdisc add dev {INTERFACE} root handle 8: htb default 0x10",
        f"class add dev {INTERFACE} parent 8: classid 8:10 htb rate 3mbit",
        f"class add dev {INTERFACE} parent 8: classid 8:20 htb rate 4mbit ceil 9mbit",
        f"qdisc add dev {INTERFACE} parent 8:20 handle 81: tbf rate 1mbit burst 15k latency 50ms",
        f"filter add dev {INTERFACE} parent 8: protocol ip prio 3 u32 match ip dst 192.0.2.4/32 flowid 8:20",
    ),
    "an ingress qdisc": (
        f"qdisc add dev {INTERFACE} ingress",
        f"filter add dev {INTERFACE} parent ffff: protocol ip prio 9 u32 match ip src 192.0.2.4/32 flowid :1",
    ),
}


@pytest.fixture(scope="module")
def veth(host_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(keep=[tmp_path_factory.getbasetemp()]) as entered:
        connect(entered)
        yield entered


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    return tmp_path / "journals"


def shaped_rate_mbps(sandbox: Sandbox, port: int | None = None) -> float:
    """Goodput of an upload to the peer; with a port, from that port."""
    receiver = (
        "import socket, sys, time\n"
        "with socket.create_server((sys.argv[1], 0)) as server:\n"
        "    print(server.getsockname()[1], flush=True)\n"
        "    sock, _ = server.accept(); total = 0; started = 0.0\n"
        "    while data := sock.recv(1 << 20):\n"
        "        started = started or time.monotonic(); total += len(data)\n"
        "    print(total * 8 / 1e6 / (time.monotonic() - started))\n"
    )
    sender = (
        "import socket, sys\n"
        "source = ('', int(sys.argv[3])) if sys.argv[3] else None\n"
        "with socket.create_connection((sys.argv[1], int(sys.argv[2])), source_address=source) as sock:\n"
        "    sock.sendall(bytes(400_000))\n"
    )
    python = [sys.executable, "-I", "-S", "-c"]
    sink = sandbox.popen("edge", [*python, receiver, ADDRESSES["edge"]], stdout=subprocess.PIPE)
    assert sink.stdout
    listening = sink.stdout.readline().decode().strip()
    told(sandbox, *python, sender, ADDRESSES["edge"], listening, "" if port is None else str(port))
    rate = float(sink.stdout.readline())
    sink.wait(10)
    return rate


def test_the_peer_is_shaped_and_what_is_exempt_is_not(veth: Sandbox, journals: Path) -> None:
    before = state(veth)
    with_port = replace(NIC, exempt_ports=(22, 5022))
    applied = on_the_board(veth, lambda: apply(with_port, journals=journals))
    assert (applied.backend, applied.ingress) == ("rate-only", "ifb") or applied.backend == "netem"
    assert applied.congestion_control == "cubic"
    assert shaped_rate_mbps(veth) == pytest.approx(8 * 1448 / 1514, rel=0.06)
    assert shaped_rate_mbps(veth, 5022) > 30
    faster = on_the_board(veth, lambda: change(applied, replace(LINK, rate_up_mbps=20)))
    assert faster.qdiscs["egress"][0]["handle"] == "5c10:"
    assert shaped_rate_mbps(veth) == pytest.approx(20 * 1448 / 1514, rel=0.06)
    assert on_the_board(veth, lambda: restore(INTERFACE, journals=journals))
    assert state(veth) == before
    assert not on_the_board(veth, lambda: restore(INTERFACE, journals=journals))
    assert list(journals.iterdir()) == []


@pytest.mark.parametrize("tree", FOREIGN)
def test_somebody_elses_qdiscs_are_refused_or_put_back_as_they_were(veth: Sandbox, journals: Path, tree: str) -> None:
    plain = state(veth)
    for line in FOREIGN[tree]:
        told(veth, "tc", *line.split())
    theirs = state(veth)
    try:
        with pytest.raises(ShapingError, match="somebody else") as refused:
            on_the_board(veth, lambda: apply(NIC, journals=journals))
        assert any(name in str(refused.value) for name in ("tbf 7:", "htb 8:", "ingress ffff:"))
        assert state(veth) == theirs

        def replaced() -> None:
            with keeping(NIC, replace_foreign=True, journals=journals):
                assert "htb 5c10:" in state(veth)

        on_the_board(veth, replaced)
        assert state(veth) == theirs
    finally:
        for place in ("root", "ingress"):
            veth.popen("device", ["tc", "qdisc", "del", "dev", INTERFACE, place], stderr=subprocess.DEVNULL).wait(10)
    assert state(veth) == plain


def test_what_could_not_be_put_back_is_not_taken_off(veth: Sandbox, journals: Path) -> None:
    told(veth, "ip", "link", "add", "other0", "type", "ifb")
    redirect = f"filter add dev {INTERFACE} parent ffff: protocol ip u32 match u32 0 0 "
    redirect += "action mirred egress redirect dev other0"
    told(veth, "tc", "qdisc", "add", "dev", INTERFACE, "ingress")
    told(veth, "tc", *redirect.split())
    theirs = state(veth)
    try:
        with pytest.raises(ShapingError, match="could not be put back"):
            on_the_board(veth, lambda: apply(NIC, replace_foreign=True, journals=journals))
        assert state(veth) == theirs
    finally:
        told(veth, "tc", "qdisc", "del", "dev", INTERFACE, "ingress")
        told(veth, "ip", "link", "del", "other0")


def test_a_delay_without_sch_netem_is_refused_unless_it_is_given_up(veth: Sandbox, journals: Path) -> None:
    delayed = replace(NIC, link=replace(LINK, delay_up_ms=10, delay_down_ms=10))

    def rate_only() -> tuple[str, ...]:
        with pytest.raises(CapabilityError, match="--allow-no-delay"):
            apply(delayed, backend="rate-only", journals=journals)
        with keeping(delayed, backend="rate-only", allow_no_delay=True, journals=journals) as applied:
            return applied.notes

    before = state(veth)
    assert "the backend rate-only leaves out 20 ms of delay" in on_the_board(veth, rate_only)
    assert state(veth) == before


def test_a_journal_that_a_killed_process_left_is_restored_first(veth: Sandbox, journals: Path) -> None:
    before = state(veth)
    on_the_board(veth, lambda: apply(NIC, journals=journals))
    again = on_the_board(veth, lambda: apply(NIC, journals=journals))
    assert "what a killed process had left was put back first" in again.notes
    on_the_board(veth, lambda: restore(INTERFACE, journals=journals))
    assert state(veth) == before


@pytest.mark.parametrize(
    ("nic", "message"),
    [
        (("eth9", ADDRESSES["edge"]), "no interface 'eth9'"),
        (("lo", ADDRESSES["edge"]), f"leave by {INTERFACE}, not by lo"),
        ((INTERFACE, "203.0.113.1"), "leave by no interface"),
        (("no such", ADDRESSES["edge"]), "is no name of one"),
        ((INTERFACE, "fe80::1"), "is no IPv4 address"),
    ],
)
def test_what_is_impossible_is_one_line(veth: Sandbox, journals: Path, nic: tuple[str, str], message: str) -> None:
    before = state(veth)
    with pytest.raises(LinkSpecError, match=message) as refused:
        on_the_board(veth, lambda: apply(NicLink(*nic, LINK), journals=journals))
    assert "\n" not in str(refused.value)
    assert state(veth) == before


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (replace(LINK, rate_down_mbps=20), LinkSpecError, "cannot be changed in place"),
        (replace(LINK, burst_bytes=20_000), LinkSpecError, "cannot be changed in place"),
        (replace(LINK, impairments_down=Impairments(loss=0.01)), CapabilityError, "no ifb.*--impair=up"),
    ],
)
def test_what_cannot_be_done_without_ifb_is_refused(other: LinkSpec, error: type[Exception], message: str) -> None:
    applied = AppliedNic(INTERFACE, NIC.peer, "netem", "police", None, 1500, {}, {}, "cubic", "", (), NIC)
    with pytest.raises(error, match=message):
        change(applied, other)


# -- the command ----------------------------------------------------------------------------------------


def hold(sandbox: Sandbox, journals: Path, lease: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "netem", "nic", "hold", "--interface", INTERFACE, "--peer", ADDRESSES["edge"]]
    command += ["--rate", "8mbit", "--journal", str(journals), "--lease", lease]
    process = sandbox.popen("device", command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert json.loads(process.stdout.readline())["interface"] == INTERFACE
    return process


def test_a_lease_that_is_renewed_holds_and_one_that_is_not_restores(veth: Sandbox, journals: Path) -> None:
    before, lease_s = state(veth), 0.5
    process = hold(veth, journals, f"{lease_s:g}s")
    assert process.stdin
    assert process.stdout
    for _ in range(6):
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(lease_s / 3)
    assert process.poll() is None
    process.stdin.write(b'{"read": true}\n{"link": {}}\n')
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["qdiscs"]["egress"]
    assert "error" in json.loads(process.stdout.readline())
    assert process.wait(5 * lease_s) == 0
    assert state(veth) == before


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGKILL"])
def test_a_holder_that_ends_leaves_nothing_or_a_journal(veth: Sandbox, journals: Path, how: str) -> None:
    before = state(veth)
    process = hold(veth, journals, "60s")
    with pytest.raises(ShapingError, match="already shaped by process"):
        on_the_board(veth, lambda: apply(NIC, journals=journals))
    if how == "end of input":
        assert process.stdin
        process.stdin.close()
    else:
        os.kill(process.pid, getattr(signal, how))
    process.wait(10)
    if how == "SIGKILL":
        assert state(veth) != before
        assert on_the_board(veth, lambda: restore(INTERFACE, journals=journals))
    assert state(veth) == before


def test_what_stands_beside_an_interface_that_is_gone_is_taken_away_too(journals: Path, tmp_path: Path) -> None:
    """As when a USB adapter is unplugged: the sysctl is the whole host's, and the ifb is nobody's any more."""
    with Sandbox(keep=[tmp_path]) as own:
        connect(own)
        idle = Path("/proc/sys/net/ipv4/tcp_slow_start_after_idle")

        def sysctl() -> str:
            return idle.read_text().strip()

        before = on_the_board(own, sysctl)
        applied = on_the_board(own, lambda: apply(NIC, journals=journals))
        assert on_the_board(own, sysctl) == "0" != before
        told(own, "ip", "link", "del", INTERFACE)
        assert on_the_board(own, lambda: restore(INTERFACE, journals=journals))
        assert on_the_board(own, sysctl) == before
        assert "netem" not in told(own, "ip", "link", "show")
        assert not Path(applied.journal).exists()


def test_what_comes_in_is_not_glued_together_while_it_is_shaped(veth: Sandbox, journals: Path) -> None:
    def gro() -> bool | None:
        return interfaces.offloads(INTERFACE).get("gro")

    if not on_the_board(veth, lambda: interfaces.set_gro(INTERFACE, True)):
        pytest.skip("this kernel's veth has no GRO to switch off")
    on_the_board(veth, lambda: apply(NIC, journals=journals))
    assert on_the_board(veth, gro) is False
    on_the_board(veth, lambda: restore(INTERFACE, journals=journals))
    assert on_the_board(veth, gro) is True
    on_the_board(veth, lambda: interfaces.set_gro(INTERFACE, False))
