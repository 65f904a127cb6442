"""Puts a link between the two namespaces of a sandbox, and says what is then in force."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from netem import interfaces, tcp
from netem.errors import CapabilityError, ShapingError
from netem.interfaces import Backend, End
from netem.link import LinkSpec
from netem.namespaces import ADDRESSES, Sandbox, Where, in_network_namespace
from netem.relay_client import RelayClient
from netem.units import bytes_per_s, microseconds

_INTERFACES: dict[Where, str] = {"device": "uplink0", "edge": "downlink0"}
_MACS: dict[Where, str] = {"device": "02:00:00:00:00:01", "edge": "02:00:00:00:00:02"}
"""Locally administered, so no vendor's."""

_TICK_US = 1
"""tbf keeps its bucket in whole microseconds of the rate."""


@dataclass(frozen=True)
class AppliedLink:
    """What is in force, as the kernel reports it after the link was set up.

    Attributes:
        backend: ``netem`` (kernel) or ``relay`` (user space), see DESIGN.md.
        interfaces: name of the link's interface in each namespace.
        mtu: largest IP packet.
        qdiscs: per namespace, root first.
        sysctls: per namespace, the ones the TCP policy sets.
        congestion_control: per namespace, what a real connection uses.
        offloads: per namespace (ethtool's names).
        relay_cpus: the cores the relay may run on; None without a relay.
        relay_scheduling: ``fifo``, ``nice -15`` or ``other``; None without a relay.
        relay_compensation_ms: the relay's own one-way latency, taken off the delay; None without a relay.
        relay: the running relay.
    """

    backend: Backend
    interfaces: dict[Where, str]
    mtu: int
    qdiscs: dict[Where, list[dict[str, Any]]]
    sysctls: dict[Where, dict[str, str]]
    congestion_control: dict[Where, str]
    offloads: dict[Where, dict[str, bool]]
    relay_cpus: list[int] | None = None
    relay_scheduling: str | None = None
    relay_compensation_ms: float | None = None
    relay: RelayClient | None = field(default=None, repr=False, compare=False)

    def relay_statistics(self) -> dict[str, Any] | None:
        """Frames, bytes, drops and lateness of the relay so far, per direction; None without a relay."""
        return None if self.relay is None else self.relay.statistics()

    def as_dict(self) -> dict[str, Any]:
        """Everything but the running relay itself, as plain JSON types."""
        names = [name for name in self.__dataclass_fields__ if name != "relay"]
        return {name: getattr(self, name) for name in names}


@cache
def choose_backend() -> Backend:
    """``netem`` where a throw-away veth in a scratch namespace takes ``sch_netem``, else ``relay``.

    Raises:
        CapabilityError: this process may not make network namespaces.
    """
    return "netem" if in_network_namespace(None, interfaces.accepts_netem) else "relay"


def apply(
    sandbox: Sandbox, spec: LinkSpec, *, relay_cpu: int | None = None, backend: Backend | None = None
) -> AppliedLink:
    """Join the two namespaces by the link that the spec asks for, and read it back.

    Args:
        sandbox: an entered sandbox that has no link yet.
        spec: the link.
        relay_cpu: the core for the relay, if there is one: one that is idle while packets travel.
        backend: which one; None takes ``choose_backend``.

    Raises:
        CapabilityError: this host cannot do it.
        ShapingError: the kernel did not take, or did not keep, what was asked for.
    """
    chosen = backend or choose_backend()
    if chosen == "netem" and choose_backend() != "netem":
        raise CapabilityError(
            "this kernel has no sch_netem: allowed here is the backend relay; ask for it, or load the module"
        )
    if sandbox.call("device", lambda: interfaces.exists(_INTERFACES["device"])):
        raise ShapingError("this sandbox has a link already: one link a sandbox; enter a new one")
    relay = None
    try:
        if chosen == "relay":
            relay = RelayClient(sandbox, (_INTERFACES["device"], _INTERFACES["edge"]), relay_cpu)
        else:
            peer, ours, theirs = sandbox.netns("edge"), _INTERFACES["device"], _INTERFACES["edge"]
            sandbox.call("device", lambda: interfaces.create_veth(ours, theirs, peer))
        return _set_up(sandbox, spec, chosen, relay)
    except BaseException:
        if relay is not None:
            relay.close()
        sandbox.call("device", lambda: interfaces.remove(_INTERFACES["device"]))
        raise


def planned_commands(spec: LinkSpec, backend: Backend) -> list[str]:
    """The ``ip`` and ``tc`` lines that would do what ``apply`` does, to be read or stored with a result."""
    lines = []
    if backend == "netem":
        ours, theirs = _INTERFACES["device"], _INTERFACES["edge"]
        lines.append(f"ip -n device link add {ours} type veth peer name {theirs} netns edge")
    for end, where in _ends(spec):
        if backend == "relay":
            lines.append(f"ip -n {where} tuntap add {end.interface} mode tap")
        lines += _planned_end(end, where, backend)
        lines += [f"ip netns exec {where} sysctl -w {n}='{v}'" for n, v in tcp.sysctl_values(spec).items()]
    if backend == "relay":
        delays = f"{spec.delay_up_ms:g} ms up, {spec.delay_down_ms:g} ms down"
        lines.append(f"# relay between the two TAP interfaces: {delays}")
    return lines


def _planned_end(end: End, where: Where, backend: Backend) -> list[str]:
    tbf = f"tbf rate {bytes_per_s(end.rate_mbps) * 8}bit burst {end.burst_bytes} limit {end.queue_bytes}"
    qdiscs = [f"tc -n {where} qdisc replace dev {end.interface} root handle 1: {tbf}"]
    if backend == "netem":
        delay = f"netem delay {microseconds(end.delay_ms)}us limit {interfaces.NETEM_LIMIT_PACKETS}"
        qdiscs = [
            f"tc -n {where} qdisc replace dev {end.interface} root handle 1: {delay}",
            f"tc -n {where} qdisc replace dev {end.interface} parent 1:1 handle 2: {tbf}",
        ]
    device = f"dev {end.interface}"
    route = f"ip -n {where} route replace {end.peer_address}/32 dev {end.interface} scope link src {end.address}"
    return [
        f"ip -n {where} link set {end.interface} address {end.mac} mtu {end.mtu} "
        f"txqueuelen {interfaces.TRANSMIT_QUEUE_FRAMES} gso_max_segs 1",
        *qdiscs,
        f"ip -n {where} link set {end.interface} up",
        f"ip -n {where} address replace {end.address}/32 dev {end.interface}",
        f"ip -n {where} neigh replace {end.peer_address} lladdr {end.peer_mac} {device} nud permanent",
        route + (f" congctl {end.congestion_control}" if end.congestion_control else ""),
    ]


def _ends(spec: LinkSpec) -> list[tuple[End, Where]]:
    directions: list[tuple[Where, Where, float, float]] = [
        ("device", "edge", spec.rate_up_mbps, spec.delay_up_ms),
        ("edge", "device", spec.rate_down_mbps, spec.delay_down_ms),
    ]
    return [
        (
            End(
                interface=_INTERFACES[where],
                mac=_MACS[where],
                address=ADDRESSES[where],
                peer_address=ADDRESSES[peer],
                peer_mac=_MACS[peer],
                rate_mbps=rate_mbps,
                delay_ms=delay_ms,
                burst_bytes=spec.burst_bytes,
                queue_bytes=spec.queue_limit_bytes,
                mtu=spec.mtu,
                congestion_control=spec.tcp.congestion_control,
            ),
            where,
        )
        for where, peer, rate_mbps, delay_ms in directions
    ]


def _set_up(sandbox: Sandbox, spec: LinkSpec, backend: Backend, relay: RelayClient | None) -> AppliedLink:
    sysctls: dict[Where, dict[str, str]] = {}
    for end, where in _ends(spec):
        sysctls[where] = sandbox.call(where, lambda: tcp.set_sysctls(tcp.sysctl_values(spec)))
        sandbox.call(where, lambda end=end: interfaces.configure(end, backend))  # type: ignore[misc]
    in_force = tcp.congestion_control_in_force(sandbox)
    tcp.require_policy(spec, in_force)
    if relay is not None:
        relay.calibrate(sandbox, spec)
    return _read_back(sandbox, spec, backend, relay, sysctls, in_force)


def _read_back(
    sandbox: Sandbox,
    spec: LinkSpec,
    backend: Backend,
    relay: RelayClient | None,
    sysctls: dict[Where, dict[str, str]],
    congestion_control: dict[Where, str],
) -> AppliedLink:
    qdiscs: dict[Where, list[dict[str, Any]]] = {}
    offloads: dict[Where, dict[str, bool]] = {}
    for end, where in _ends(spec):
        qdiscs[where] = sandbox.call(where, lambda name=end.interface: interfaces.qdiscs(name))  # type: ignore[misc]
        offloads[where] = sandbox.call(where, lambda name=end.interface: interfaces.offloads(name))  # type: ignore[misc]
        _require_qdiscs(end, where, backend, qdiscs[where])
    state = relay.statistics() if relay else {}
    return AppliedLink(
        backend=backend,
        interfaces=dict(_INTERFACES),
        mtu=spec.mtu,
        qdiscs=qdiscs,
        sysctls=sysctls,
        congestion_control=congestion_control,
        offloads=offloads,
        relay_cpus=state.get("cpus"),
        relay_scheduling=state.get("scheduling"),
        relay_compensation_ms=relay.compensation_us / 1e3 if relay else None,
        relay=relay,
    )


def _require_qdiscs(end: End, where: Where, backend: Backend, found: list[dict[str, Any]]) -> None:
    tbf = [q for q in found if q["kind"] == "tbf"]
    delays_us = [q["delay_us"] for q in found if q["kind"] == "netem"]
    rate = bytes_per_s(end.rate_mbps)
    bucket_step_bytes = 1 + rate * _TICK_US / 1e6
    ok = (
        len(tbf) == 1
        and tbf[0]["rate_bytes_per_s"] == rate
        and tbf[0]["limit_bytes"] == end.queue_bytes
        and abs(tbf[0]["burst_bytes"] - end.burst_bytes) <= bucket_step_bytes
        and delays_us == ([] if backend == "relay" else [microseconds(end.delay_ms)])
    )
    if not ok:
        raise ShapingError(
            f"the kernel reports {found} on {end.interface} in the {where} namespace, but "
            f"{end.rate_mbps:g} Mbit/s and {end.delay_ms:g} ms were set: another program changes it"
        )
