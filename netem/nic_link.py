"""What is asked of a named interface, and what is then in force there."""

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Any

from netem.errors import LinkSpecError
from netem.impairments import UNIMPAIRED
from netem.interfaces import Backend, End, index_of
from netem.link import LinkSpec
from netem.nic_tree import Ingress, Ways, ifb_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")
SSH_PORT = 22


@dataclass(frozen=True)
class NicLink:
    """A link that is to be felt between a named interface of this host and one peer.

    Attributes:
        interface: its name.
        peer: IPv4 address of the other end; only its packets are shaped.
        link: rate and delay up (what leaves here) and down (what comes in). Delays are what a packet is to take
            altogether: what the path itself takes is measured, and taken off.
        exempt_ports: TCP ports whose packets are never shaped.

    Raises:
        LinkSpecError: no name of an interface, no IPv4 address, no port.
    """

    interface: str
    peer: str
    link: LinkSpec
    exempt_ports: tuple[int, ...] = (SSH_PORT,)

    def __post_init__(self) -> None:
        """Check what can be checked without looking (see the class)."""
        if not _NAME.fullmatch(self.interface):
            raise LinkSpecError(
                f"interface {self.interface!r} is no name of one: allowed are up to 15 letters, digits, _ . @ -"
            )
        try:
            ipaddress.IPv4Address(self.peer)
        except ValueError as error:
            raise LinkSpecError(f"peer {self.peer!r} is no IPv4 address: write for example 192.168.1.10") from error
        for port in self.exempt_ports:
            if not 1 <= port <= 65_535:
                raise LinkSpecError(f"exempt port {port} is none: allowed is 1 to 65535")


@dataclass(frozen=True)
class AppliedNic:
    """What is in force on an interface, as the kernel reports it.

    Attributes:
        interface, peer: as asked for.
        backend: ``netem``, or ``rate-only`` where the kernel cannot delay.
        ingress: ``ifb``, or what had to do instead of it.
        path_rtt_ms: what the path takes by itself; None where the peer does not answer an echo.
        mtu: of the interface.
        qdiscs: ``egress`` and ``ingress``, root first.
        sysctls: of TCP, in force.
        congestion_control: of new connections to the peer.
        journal: the file that says what was there before.
        notes: where this is not all that was asked for, and why.
        nic: what was asked for.
    """

    interface: str
    peer: str
    backend: Backend
    ingress: Ingress
    path_rtt_ms: float | None
    mtu: int
    qdiscs: dict[str, list[dict[str, Any]]]
    sysctls: dict[str, str]
    congestion_control: str
    journal: str
    notes: tuple[str, ...] = ()
    nic: NicLink | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Everything but what was asked for, as plain JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "nic"}


def ways_of(nic: NicLink, backend: Backend, ingress: Ingress, path_rtt_ms: float) -> Ways:
    """Both directions as they are set: delays less what the path itself takes, half each way; where what comes in
    cannot be queued, all of the delay on the way out."""
    link = nic.link
    delays_ms = [max(0.0, own - path_rtt_ms / 2) for own in (link.delay_up_ms, link.delay_down_ms)]
    if ingress != "ifb":
        delays_ms = [sum(delays_ms), 0.0]
    if backend == "rate-only":
        link, delays_ms = replace(link, impairments_up=UNIMPAIRED, impairments_down=UNIMPAIRED), [0.0, 0.0]
    names = (nic.interface, ifb_name(index_of(nic.interface)))
    rates, impairments = (link.rate_up_mbps, link.rate_down_mbps), (link.impairments_up, link.impairments_down)
    up, down = (
        End(
            interface=names[way],
            mac="",
            address="",
            peer_address=nic.peer,
            peer_mac="",
            rate_mbps=rates[way],
            delay_ms=delays_ms[way],
            burst_bytes=link.burst_bytes,
            queue_bytes=link.queue_limit_bytes,
            mtu=link.mtu,
            impairments=impairments[way],
            seed=2 * link.seed + way,  # the two ways must not lose the same packets
            congestion_control=None,
            initial_window_segments=link.tcp.initial_window_segments,
        )
        for way in (0, 1)
    )
    return Ways(up, down, nic.peer, nic.exempt_ports)
