"""What ``apply`` is going to set: the two ends of a spec, and the ``ip`` and ``tc`` lines that would do the same."""

from netem import tcp
from netem.impairments import GilbertElliott, Impairments
from netem.interfaces import TRANSMIT_QUEUE_FRAMES, Backend, End
from netem.link import ETHERNET_HEADER_BYTES, LinkSpec
from netem.namespaces import ADDRESSES, Where
from netem.qdisc import NETEM_LIMIT_PACKETS, htb_bucket_bytes
from netem.units import bytes_per_s, microseconds, milliseconds

INTERFACES: dict[Where, str] = {"device": "uplink0", "edge": "downlink0"}
MIDDLE_INTERFACES: dict[Where, str] = {"device": "to-device0", "edge": "to-edge0"}
"""The relay's two, in the namespace between the tiers."""

_MACS: dict[Where, str] = {"device": "02:00:00:00:00:01", "edge": "02:00:00:00:00:02"}
"""Locally administered, so no vendor's."""


def ends(spec: LinkSpec, compensation_us: int = 0) -> list[tuple[End, Where]]:
    """The device's end, then the edge's; delays less what the path itself takes."""
    directions: list[tuple[Where, Where, float, float, Impairments]] = [
        ("device", "edge", spec.rate_up_mbps, spec.delay_up_ms, spec.impairments_up),
        ("edge", "device", spec.rate_down_mbps, spec.delay_down_ms, spec.impairments_down),
    ]
    return [
        (
            End(
                interface=INTERFACES[where],
                mac=_MACS[where],
                address=ADDRESSES[where],
                peer_address=ADDRESSES[peer],
                peer_mac=_MACS[peer],
                rate_mbps=rate_mbps,
                delay_ms=max(0.0, milliseconds(microseconds(delay_ms) - compensation_us)),
                burst_bytes=spec.burst_bytes,
                queue_bytes=spec.queue_limit_bytes,
                mtu=spec.mtu,
                impairments=impairments,
                seed=2 * spec.seed + index,  # the two ways must not lose the same packets
                congestion_control=spec.tcp.congestion_control,
                initial_window_segments=spec.tcp.initial_window_segments,
            ),
            where,
        )
        for index, (where, peer, rate_mbps, delay_ms, impairments) in enumerate(directions)
    ]


def planned_commands(spec: LinkSpec, backend: Backend) -> list[str]:
    """The ``ip`` and ``tc`` lines that would do what ``apply`` does, to be read or stored with a result."""
    lines = []
    both = ends(spec)
    if backend != "relay":
        ours, theirs = INTERFACES["device"], INTERFACES["edge"]
        lines.append(f"ip -n device link add {ours} type veth peer name {theirs} netns edge")
    for end, where in both:
        if backend == "relay":
            middle = MIDDLE_INTERFACES[where]
            lines.append(f"ip -n {where} link add {end.interface} type veth peer name {middle} netns middle")
            lines.append(f"ip -n middle link set {middle} mtu {end.mtu} gso_max_segs 1 up")
            lines.append(f"ip netns exec {where} ethtool -K {end.interface} tx off")
        lines += _end(end, where, backend)
        lines += [f"ip netns exec {where} sysctl -w {n}='{v}'" for n, v in tcp.sysctl_values(spec).items()]
    if backend == "relay":
        lines += [f"# relay {where} to the other end: {_relayed(end)}" for end, where in both]
    return lines


def _end(end: End, where: Where, backend: Backend) -> list[str]:
    device = f"dev {end.interface}"
    route = f"ip -n {where} route replace {end.peer_address}/32 {device} proto static scope link src {end.address}"
    route += f" initcwnd {end.initial_window_segments}"
    return [
        f"ip -n {where} link set {end.interface} address {end.mac} mtu {end.mtu} "
        f"txqueuelen {TRANSMIT_QUEUE_FRAMES} gso_max_segs 1",
        *_qdiscs(end, where, backend),
        f"ip -n {where} link set {end.interface} up",
        f"ip -n {where} address replace {end.address}/32 {device}",
        f"ip -n {where} neigh replace {end.peer_address} lladdr {end.peer_mac} {device} nud permanent",
        route + (f" congctl {end.congestion_control}" if end.congestion_control else ""),
    ]


def _qdiscs(end: End, where: Where, backend: Backend) -> list[str]:
    if backend == "relay":
        return []
    qdisc, root = f"tc -n {where} qdisc replace dev {end.interface}", "root"
    lines = []
    if backend == "netem":
        delay = f"netem delay {microseconds(end.delay_ms)}us{_impairments(end.impairments)}"
        seed = "" if end.impairments.none else f" seed {end.seed}"  # a word that tc knows since Linux 6.6
        lines.append(f"{qdisc} root handle 1: {delay} limit {NETEM_LIMIT_PACKETS}{seed}")
        root = "parent 1:1"
    bucket = htb_bucket_bytes(end)
    return [
        *lines,
        f"{qdisc} {root} handle 2: htb default 1",
        f"tc -n {where} class replace dev {end.interface} parent 2: classid 2:1 htb rate "
        f"{bytes_per_s(end.rate_mbps) * 8}bit burst {bucket} cburst {bucket} quantum {end.mtu + ETHERNET_HEADER_BYTES}",
        f"{qdisc} parent 2:1 handle 3: bfifo limit {end.queue_bytes}",
    ]


def _relayed(end: End) -> str:
    return (
        f"rate {end.rate_mbps:g}mbit burst {end.burst_bytes} queue {end.queue_bytes} "
        f"delay {end.delay_ms:g}ms{_impairments(end.impairments)}"
    )


def _impairments(impairments: Impairments) -> str:
    text = ""
    if impairments.jitter_ms:
        text = f" {microseconds(impairments.jitter_ms)}us"
        if impairments.jitter_correlation:
            text += f" {impairments.jitter_correlation:.6%}"
        text += f" distribution {impairments.jitter_distribution}"
    loss = impairments.loss
    if isinstance(loss, GilbertElliott):
        shares = (loss.to_bad, loss.to_good, loss.loss_bad, loss.loss_good)
        text += " loss gemodel " + " ".join(f"{share:.6%}" for share in shares)
    elif loss:
        text += f" loss {loss:.6%}"
    for name in ("duplicate", "corrupt", "reorder"):
        if share := getattr(impairments, name):
            text += f" {name} {share:.6%}"
    return text
