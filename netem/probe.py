"""Whether the link gives what was asked: RTT, one-way delays and rates, by plain sockets at both ends."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from netem.errors import ProbeError
from netem.link import ETHERNET_HEADER_BYTES, LinkSpec
from netem.namespaces import Sandbox, module_argv
from netem.theory import link_rate_mbps, mss_bytes

if TYPE_CHECKING:
    from netem.shaper import AppliedLink

EXCHANGES = 21
FASTEST_PROBED_DOWNLINK_MBPS = 300.0
"""The relay, in Python, gives 276 Mbit/s; a faster downlink is set but not asserted."""

_WARM_UP_S = 0.4
_TRANSFER_S = 0.25
_TRANSFERS = 3
_STEP_TIMEOUT_S = 10.0
_PROBE_TIMEOUT_S = 60.0
_SLOWEST_BYTES_PER_S = 125_000
"""Time-outs grow by what a transfer takes at 1 Mbit/s, or half the link's own rate where that is less: 13 MB at 10
Mbit/s are no hang."""


@dataclass(frozen=True)
class LinkReport:
    """What was asked and what was measured. None stands for not measured.

    Attributes:
        backend: of the link that was measured.
        requested, achieved: ``rate_up_mbps``, ``rate_down_mbps``, ``rtt_ms``, ``delay_up_ms``,
            ``delay_down_ms``. Rates count Ethernet frames, by the theory from the goodput; delays and RTT
            are medians over small exchanges.
        errors: (achieved - requested) / requested of each, a fraction; None where nothing was asked.
        goodput_up_mbps, goodput_down_mbps: payload rate of the median transfer.
        rtt_p99_ms: of the small exchanges.
        exchanges: how many there were.
        congestion_control: of the probe's own connection.
        notes: what was left out, and why.
        relay_lateness_p99_ms: from due to sent, the worse of both ways, while probing; None without a relay.
        relay_drops: packets that the relay lost and the spec did not; None without a relay.
    """

    backend: str
    requested: dict[str, float]
    achieved: dict[str, float | None]
    errors: dict[str, float | None]
    goodput_up_mbps: float
    goodput_down_mbps: float | None
    rtt_p99_ms: float
    exchanges: int
    congestion_control: str
    notes: tuple[str, ...] = ()
    relay_lateness_p99_ms: float | None = None
    relay_drops: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return asdict(self)


def probe(
    sandbox: Sandbox,
    spec: LinkSpec,
    applied: "AppliedLink",
    *,
    device_cpu: int | None = None,
    edge_cpu: int | None = None,
) -> LinkReport:
    """Measure the link in two to three seconds.

    Args:
        sandbox: where the link is.
        spec: what was asked for.
        applied: what ``apply`` returned for it.
        device_cpu, edge_cpu: cores for the two probing processes; None leaves them free.

    Raises:
        ProbeError: the link could not be measured at all.
    """
    result = _run(sandbox, plan_of(spec), device_cpu, edge_cpu)
    return report_of(spec, applied.backend, result, relay=applied.relay_statistics())


def plan_of(spec: LinkSpec) -> dict[str, Any]:
    """What the two processes of a probe do to measure a link (see ``netem.probe_peer.measure``)."""
    fast = spec.rate_down_mbps > FASTEST_PROBED_DOWNLINK_MBPS
    return {
        "exchanges": EXCHANGES,
        "up": _transfers(spec.rate_up_mbps, spec.burst_bytes),
        "down": [] if fast else _transfers(spec.rate_down_mbps, spec.burst_bytes),
        "idle_s": 0,
        "slowest_bytes_per_s": min(_SLOWEST_BYTES_PER_S, 1e6 / 8 / 2 * min(spec.rate_up_mbps, spec.rate_down_mbps)),
    }


def timeouts_s(plan: dict[str, Any]) -> tuple[float, float]:
    """The longest step of a plan, and all of it, at the slowest rate that is no hang."""
    sizes = [*plan["up"], *plan["down"]]
    slowest = plan.get("slowest_bytes_per_s", _SLOWEST_BYTES_PER_S)
    longest = plan["idle_s"] + max(sizes, default=0) / slowest
    return _STEP_TIMEOUT_S + longest, _PROBE_TIMEOUT_S + plan["idle_s"] * len(sizes) + sum(sizes) / slowest


def report_of(
    spec: LinkSpec,
    backend: str,
    result: dict[str, Any],
    *,
    one_clock: bool = True,
    relay: dict[str, Any] | None = None,
) -> LinkReport:
    """What the carried-out ``plan_of`` a link says of it.

    Args:
        spec: what was asked for.
        backend: of the link.
        result: of ``netem.probe_peer.measure``.
        one_clock: whether both processes read one clock; else there are no one-way delays.
        relay: its statistics, where there is one.

    Raises:
        ProbeError: nothing was measured on the uplink.
    """
    import statistics  # loads fractions and decimal, which whoever only wants the theory can do without

    fast = spec.rate_down_mbps > FASTEST_PROBED_DOWNLINK_MBPS
    up, down = (_median_goodput_mbps(result[key]) for key in ("up", "down"))
    if up is None:
        raise ProbeError("no transfer was measured on the uplink: nothing was sent; apply the link again")
    mss = mss_bytes(spec.mtu)
    header_bytes = spec.mtu + ETHERNET_HEADER_BYTES - mss
    requested = {name: getattr(spec, name) for name in ("rate_up_mbps", "rate_down_mbps", "rtt_ms")}
    requested |= {"delay_up_ms": spec.delay_up_ms, "delay_down_ms": spec.delay_down_ms}
    achieved: dict[str, float | None] = {
        "rate_up_mbps": link_rate_mbps(up, mss=mss, header_bytes=header_bytes),
        "rate_down_mbps": None if down is None else link_rate_mbps(down, mss=mss, header_bytes=header_bytes),
    }
    achieved["rtt_ms"] = statistics.median(result["rtt_ms"])
    one_way = ("delay_up_ms", "delay_down_ms")
    achieved |= {name: statistics.median(result[name]) if one_clock else None for name in one_way}
    ways = [] if relay is None else [relay["up"], relay["down"]]
    note = f"downlink of {spec.rate_down_mbps:g} Mbit/s is set but not measured: more than 300 Mbit/s"
    return LinkReport(
        backend=backend,
        requested=requested,
        achieved=achieved,
        errors={name: _relative_error(achieved[name], requested[name]) for name in requested},
        goodput_up_mbps=up,
        goodput_down_mbps=down,
        rtt_p99_ms=statistics.quantiles(result["rtt_ms"], n=100, method="inclusive")[98],
        exchanges=len(result["rtt_ms"]),
        congestion_control=result["congestion_control"],
        notes=(note,) if fast else (),
        relay_lateness_p99_ms=max(way["lateness_p99_ms"] for way in ways) if ways else None,
        relay_drops=sum(way["drops"] for way in ways) if ways else None,
    )


def check(report: LinkReport, tolerance: float = 0.03, floor_ms: float = 0.5) -> None:
    """Raise ProbeError, naming everything that is off, unless the link is the one asked for.

    Args:
        report: of ``probe``.
        tolerance: allowed relative error of a measured rate and of the RTT; a one-way delay may be off by as much
            as the RTT.
        floor_ms: an RTT this near is right whatever its relative error.
    """
    off = []
    for name in ("rate_up_mbps", "rate_down_mbps"):
        error = report.errors[name]
        if error is not None and abs(error) > tolerance:
            off.append(f"{name} is {report.achieved[name]:.2f}, asked {report.requested[name]:g} ({error:+.1%})")
    allowed_ms = max(floor_ms, tolerance * report.requested["rtt_ms"])
    for name in ("rtt_ms", "delay_up_ms", "delay_down_ms"):
        got_ms, asked_ms = report.achieved[name], report.requested[name]
        if got_ms is not None and abs(got_ms - asked_ms) > allowed_ms:
            off.append(f"{name} is {got_ms:.2f}, asked {asked_ms:g} ({got_ms - asked_ms:+.2f} ms)")
    if off:
        raise ProbeError(
            f"the link ({report.backend}) is not the one asked for: {'; '.join(off)}; allowed are "
            f"{tolerance:.0%}, or {floor_ms:g} ms of RTT and delay; leave a core idle for the link, or ask for less"
        )


def transfer_times_ms(
    sandbox: Sandbox,
    sizes_bytes: Sequence[int],
    *,
    idle_s: float = 0.0,
    device_cpu: int | None = None,
    edge_cpu: int | None = None,
) -> list[float]:
    """One-way times of uploads, one after the other on one connection, from first byte sent to last received.

    Args:
        sandbox: where the link is.
        sizes_bytes: payloads, in order; the first ones open the window.
        idle_s: pause before each.
        device_cpu, edge_cpu: cores for the two processes; None leaves them free.

    Raises:
        ProbeError: a transfer failed.
    """
    plan = {"exchanges": 1, "up": list(sizes_bytes), "down": [], "idle_s": idle_s}
    return [time_ms for time_ms, _ in _run(sandbox, plan, device_cpu, edge_cpu)["up"]]


def _run(sandbox: Sandbox, plan: dict[str, Any], device_cpu: int | None, edge_cpu: int | None) -> dict[str, Any]:
    address = sandbox.address("edge")
    step_s, timeout_s = timeouts_s(plan)
    options: dict[str, Any] = {"address": address, "timeout_s": step_s}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": "/"}
    server = sandbox.popen("edge", module_argv("netem.probe_peer", "serve", json.dumps(options)), cpu=edge_cpu, **pipes)
    client = None
    try:
        port = server.stdout.readline() if server.stdout else b""
        if not port:
            raise ProbeError(f"the probe cannot listen at {address}: {_last_line(server)}; apply a link first")
        options |= {"port": int(port), "plan": plan}
        client = sandbox.popen(
            "device", module_argv("netem.probe_peer", "measure", json.dumps(options)), cpu=device_cpu, **pipes
        )
        output, complaint = client.communicate(timeout=timeout_s)
        if client.returncode != 0:
            raise ProbeError(f"the link could not be measured: {complaint.decode(errors='replace').strip()}")
        result: dict[str, Any] = json.loads(output)
        return result
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"the probe took longer than {error.timeout:g} s: the link hardly carries data") from error
    finally:
        for process in (server, client):
            if process is not None:
                process.kill()
                process.communicate()


def _last_line(process: "subprocess.Popen[bytes]") -> str:
    text = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    return text.splitlines()[-1] if text else "it ended without a word"


def _transfers(rate_mbps: float, burst_bytes: int) -> list[int]:
    """One transfer to open the window, then those that count; long enough to outlast the bucket."""
    bytes_per_s = rate_mbps * 1e6 / 8
    sizes = [_WARM_UP_S * bytes_per_s, *[_TRANSFER_S * bytes_per_s] * _TRANSFERS]
    return [max(round(size), 8 * burst_bytes) for size in sizes]


def _median_goodput_mbps(transfers: list[list[float]]) -> float | None:
    from statistics import median

    counted = [goodput for _, goodput in transfers[1:]]
    return median(counted) if counted else None


def _relative_error(achieved: float | None, requested: float) -> float | None:
    return None if achieved is None or requested == 0 else achieved / requested - 1
