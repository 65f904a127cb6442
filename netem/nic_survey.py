"""An interface as it is found, and what must hold before it is shaped. Nothing here changes anything.

Every function works in the calling thread's network namespace.
"""

import socket

from pyroute2 import IPRoute

from netem import echo, nic_foreign, nic_tcp
from netem.backends import beyond_the_rate
from netem.errors import CapabilityError, LinkSpecError, ShapingError
from netem.interfaces import Backend
from netem.link import LinkSpec
from netem.nic_foreign import Piece
from netem.nic_link import NicLink
from netem.nic_tree import OWN_ROOT, Ingress


def index_of(interface: str) -> int:
    """The interface's number. Raises LinkSpecError, naming those that there are, where there is none."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        known = ", ".join(sorted(name for _, name in socket.if_nameindex() if name != "lo"))
        raise LinkSpecError(f"there is no interface {interface!r} here: allowed are {known or 'none'}") from error


def require_route(ip: IPRoute, nic: NicLink, index: int) -> None:
    """Raise LinkSpecError unless packets to the peer leave by the interface of that number."""
    leaves = nic_tcp.route_to(ip, nic.peer)
    if leaves.index != index:
        names = dict(socket.if_nameindex())
        raise LinkSpecError(
            f"packets to {nic.peer} leave by {names.get(leaves.index, 'no interface')}, not by {nic.interface}: shape "
            "that interface, or name another peer"
        )


def foreign(interface: str, index: int, replace_them: bool) -> list[Piece]:
    """Somebody else's pieces, which may be taken off. Raises ShapingError where they may not."""
    there = nic_foreign.pieces(index)
    if any(piece.handle == OWN_ROOT for piece in there):
        return []  # ours, of a process whose journal is gone: as far as anybody knows, a default was there before
    found = [piece for piece in there if piece.handle >> 16 != OWN_ROOT >> 16]
    qdiscs = ", ".join(f"{piece.name} ({piece.side})" for piece in found if piece.what == "qdisc")
    if not found:
        return []
    if not replace_them:
        raise ShapingError(
            f"{interface} has qdiscs of somebody else: {qdiscs}; they are never flushed: allowed is an interface with "
            "the kernel's defaults; take them off, or have them taken off and put back afterwards with --replace"
        )
    try:
        nic_foreign.rehearse(found)
    except ShapingError as error:
        raise ShapingError(
            f"{interface} has qdiscs of somebody else, {qdiscs}, that could not be put back ({error}), so they stay: "
            "take them off yourself, or shape another interface"
        ) from error
    return found


def left_out(link: LinkSpec, backend: Backend, allowed: bool) -> list[str]:
    """What the backend leaves out of a link, as notes. Raises CapabilityError where that is not ``allowed``."""
    asked = beyond_the_rate(link) if backend == "rate-only" else []
    if not asked:
        return []
    if not allowed:
        raise CapabilityError(
            f"this kernel has no sch_netem, without which an interface gets no {' and no '.join(asked)}: load it "
            "(modprobe sch_netem), or accept a link without with --allow-no-delay"
        )
    return [f"the backend rate-only leaves out {' and '.join(asked)}"]


def require_impairments(link: LinkSpec, backend: Backend, ingress: Ingress) -> None:
    """Raise CapabilityError where what comes in would have to be impaired, and there is no ifb to do it."""
    if backend == "netem" and ingress != "ifb" and not link.impairments_down.none:
        raise CapabilityError(
            "this kernel has no ifb, without which what comes in gets no jitter, loss or the like: load it (modprobe "
            "ifb), or ask for them on the way out alone with --impair=up"
        )


def path_rtt_ms(peer: str) -> float | None:
    """Median RTT of small echoes over the path as it is, in ms; None where none comes back."""
    try:
        with echo.icmp_socket() as sock:
            return echo.median_ms(sock, peer, losing=True)
    except (OSError, ShapingError):
        return None


def differences(nic: NicLink, found_rtt_ms: float | None, mtu: int) -> list[str]:
    """Notes on what of the path, or of the interface, is not as the link has it.

    Args:
        nic: what is asked for.
        found_rtt_ms: of ``path_rtt_ms``.
        mtu: of the interface, in bytes.
    """
    notes = []
    if found_rtt_ms is None:
        notes.append(f"{nic.peer} answers no echo: what the path itself takes is not taken off the delay")
    elif nic.link.rtt_ms and found_rtt_ms > nic.link.rtt_ms:
        notes.append(f"the path alone takes {found_rtt_ms:.2f} ms, more than the {nic.link.rtt_ms:g} ms asked for")
    if mtu != nic.link.mtu:
        notes.append(f"the interface's largest packet is {mtu} bytes, not {nic.link.mtu}; it was left so")
    return notes


def shape_of(ip: IPRoute, index: int) -> tuple[int, int]:
    """MTU in bytes, and gso_max_segs, of an interface."""
    (message,) = ip.get_links(index)
    return message.get_attr("IFLA_MTU"), message.get_attr("IFLA_GSO_MAX_SEGS") or 65_535
