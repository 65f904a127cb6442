"""Runs inside User-Mode Linux as its only program: the netem backend on a live ``sch_netem``, results as JSON.

Usage: uml_scenarios.py RESULT_FILE. Every scenario leaves its value under its own name, or the traceback of what it
raised; the tests on the host judge them.
"""

import json
import statistics
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from netem import (
    AppliedLink,
    GilbertElliott,
    Impairments,
    LinkSpec,
    Sandbox,
    apply,
    change,
    choose_backend,
    interfaces,
    netem_options,
    probe,
    restore,
    transfer_times_ms,
)
from netem.distributions import table
from netem.namespaces import in_network_namespace
from netem.nic import NicLink
from netem.nic import apply as nic_of
from netem.nic import change as nic_change
from netem.nic import restore as nic_restore
from netem.packet_probe import send_packets
from netem.qdisc import describe
from tests.netem import plain_veth
from tests.netem.proof import changes_under_load

SPEC = LinkSpec(rate_up_mbps=30, rate_down_mbps=60, delay_up_ms=10, delay_down_ms=20)
NO_DELAY = replace(SPEC, delay_up_ms=0, delay_down_ms=0)
SIZES_BYTES = (10_000, 100_000, 400_000)
REFILL_S = 0.01  # longer than the bucket takes at 30 Mbit/s: theory begins with a full one
EVERYTHING = Impairments(
    jitter_ms=2,
    jitter_distribution="pareto",
    jitter_correlation=0.25,
    loss=GilbertElliott(to_bad=0.01, to_good=0.25, loss_bad=0.8, loss_good=0.001),
    reorder=0.02,
    duplicate=0.01,
    corrupt=0.005,
)


def backend() -> str:
    return choose_backend()


def every_option_read_back() -> dict[str, Any]:
    netem_options.register()

    def on_a_veth() -> dict[str, Any]:
        with IPRoute() as ip:
            ip.link("add", ifname="try0", kind="veth", peer={"ifname": "try1"})
            index = ip.link_lookup(ifname="try0")[0]
            ip.tc(
                *("add", "netem", index),
                handle=0x10000,
                delay=15_000,
                jitter=3000,
                delay_corr=10,
                limit=777,
                distribution=table("normal"),
                loss_gemodel=(1, 25, 80, 0.1),
                duplicate=2,
                dup_corr=5,
                prob_reorder=3,
                corr_reorder=50,
                prob_corrupt=1,
                corr_corrupt=20,
                seed=12345,
                rate=7_500_000,
                packet_overhead=4,
                slot=(1000, 2000, 5, 7000),
                ecn=1,
            )
            first = options(ip)
            ip.tc("change", "netem", index, handle=0x10000, delay=5000, limit=778, loss=1.5, rate=8_000_000_000)
            second = options(ip)
            ip.tc("change", "netem", index, handle=0x10000, limit=779, loss_state=(1, 2, 3, 4, 5))
            return {"first": first, "second": second, "third": options(ip)}

    def options(ip: IPRoute) -> dict[str, Any]:
        message = next(m for m in ip.get_qdiscs() if m.get_attr("TCA_KIND") == "netem")
        found = message.get_attr("TCA_OPTIONS")
        attributes = {name: plain(value) for name, value in found["attrs"]}
        return {name: found[name] for name, _ in found.fields} | attributes | {"described": describe(message)}

    def plain(value: Any) -> Any:
        if isinstance(value, bytes | str | int):
            return str(value)
        if value.get("attrs"):
            return {name: plain(inner) for name, inner in value["attrs"]}
        return {name: value[name] for name, _ in value.fields}

    return in_network_namespace(None, on_a_veth)


def the_link_and_its_probe() -> dict[str, Any]:
    with Sandbox() as sandbox:
        applied = apply(sandbox, SPEC)
        shaped = measured(sandbox, SPEC, applied)
        bare = measured(sandbox, NO_DELAY, change(sandbox, applied, NO_DELAY))
        return {"applied": applied.as_dict(), "shaped": shaped, "bare": bare}


def measured(sandbox: Sandbox, spec: LinkSpec, applied: AppliedLink) -> dict[str, Any]:
    report = probe(sandbox, spec, applied)
    sizes = [400_000] * 4 + [size for size in SIZES_BYTES for _ in range(5)]
    times_ms = transfer_times_ms(sandbox, sizes, idle_s=REFILL_S)[4:]
    return {
        "report": report.as_dict(),
        "times_ms": {str(size): times_ms[5 * index : 5 * index + 5] for index, size in enumerate(SIZES_BYTES)},
    }


def changed_in_place_then_restored() -> dict[str, Any]:
    with Sandbox() as sandbox:
        before = sandbox.call("device", lambda: Path("/proc/sys/net/ipv4/tcp_slow_start_after_idle").read_text())
        applied = apply(sandbox, SPEC)
        impaired = change(sandbox, applied, replace(SPEC, impairments_up=EVERYTHING, delay_up_ms=15))
        plain = change(sandbox, impaired, replace(SPEC, rate_up_mbps=10, delay_up_ms=5))
        packets = send_packets(sandbox, 200, packets_per_s=500)
        restore(sandbox, plain)
        return {
            "impaired": impaired.as_dict(),
            "plain": plain.as_dict(),
            "delay_ms": statistics.median(packets.delays_ms),
            "lost": len(packets.lost),
            "interfaces": [
                sandbox.call(where, lambda: Path("/proc/net/dev").read_text()) for where in ("device", "edge")
            ],
            "sysctl": [
                before,
                sandbox.call("device", lambda: Path("/proc/sys/net/ipv4/tcp_slow_start_after_idle").read_text()),
            ],
        }


def the_fate_of_20000_packets() -> dict[str, Any]:
    fates = {}
    with Sandbox() as sandbox:
        applied = apply(sandbox, SPEC)
        for name, impairments in {
            "loss": Impairments(loss=0.01),
            "bursts": Impairments(loss=GilbertElliott(to_bad=0.01, to_good=0.25)),
            "jitter": Impairments(jitter_ms=2, jitter_distribution="normal"),
        }.items():
            applied = change(sandbox, applied, replace(SPEC, impairments_up=impairments, seed=7))
            report = send_packets(sandbox, 20_000 if name != "jitter" else 5_000, packets_per_s=5_000)
            fates[name] = {
                "lost": list(report.lost),
                "mean_ms": statistics.fmean(report.delays_ms),
                "deviation_ms": statistics.pstdev(report.delays_ms),
                "sent": report.sent,
            }
    return fates


def a_hundred_changes_under_load() -> dict[str, Any]:
    return asdict(changes_under_load("netem", 100, (30, 15)))


def a_named_interface() -> dict[str, Any]:
    """Shaped with a real delay, both ways; then as where there is no ifb; then restored."""
    nic = NicLink(plain_veth.INTERFACE, plain_veth.ADDRESSES["edge"], SPEC)
    with Sandbox() as sandbox:
        plain_veth.connect(sandbox)
        before = sandbox.call("device", lambda: interfaces.qdiscs(plain_veth.INTERFACE))
        found: dict[str, Any] = {}
        for name in ("ifb", "police"):
            chosen: Any = name
            applied = sandbox.call("device", lambda chosen=chosen: nic_of(nic, ingress=chosen, journals=Path("/tmp/j")))
            found[name] = {
                "applied": applied.as_dict(),
                "rtt_ms": plain_veth.echo_ms(sandbox),
            }
            slower = replace(SPEC, delay_up_ms=40)
            sandbox.call("device", lambda applied=applied, slower=slower: nic_change(applied, slower))
            found[name]["changed_rtt_ms"] = plain_veth.echo_ms(sandbox)
            sandbox.call("device", lambda: nic_restore(plain_veth.INTERFACE, journals=Path("/tmp/j")))
        after = sandbox.call("device", lambda: interfaces.qdiscs(plain_veth.INTERFACE))
        return {**found, "restored": before == after}


SCENARIOS: tuple[Callable[[], Any], ...] = (
    backend,
    every_option_read_back,
    the_link_and_its_probe,
    changed_in_place_then_restored,
    the_fate_of_20000_packets,
    a_hundred_changes_under_load,
    a_named_interface,
)

if __name__ == "__main__":
    results = {}
    for scenario in SCENARIOS:
        try:
            results[scenario.__name__] = scenario()
        except Exception:
            results[scenario.__name__] = {"error": traceback.format_exc()}
        Path(sys.argv[1]).write_text(json.dumps(results))
