"""What stands on a shaped interface: qdiscs on its way out, an ifb on its way in, and filters that pick the peer.

    out   htb 5c10:  ──peer──>  class 5c10:1  ──>  netem 1: ──> htb 2: ──> bfifo 3:       everything else: straight on
    in    ingress ffff:  ──peer──>  ifb  ──>  netem 1: ──> htb 2: ──> bfifo 3:            everything else: untouched

What is exempt, such as ssh, is picked before the peer is, also where the peer is the other end of it. Every function
works in the calling thread's network namespace; netlink's own errors pass through.
"""

import errno
import ipaddress
from dataclasses import dataclass
from typing import Any, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from netem import interfaces
from netem.interfaces import Backend, End
from netem.units import bytes_per_s

OWN_ROOT = 0x5C10_0000
"""The handle that says whose root qdisc it is."""

_PEER_CLASS = OWN_ROOT | 1
_INGRESS = 0xFFFF0000
_UNLIMITED_BYTES_PER_S = 4_000_000_000
"""Of the class that only leads on to the link's own qdiscs: htb's 32-bit field ends at 34 Gbit/s."""

_ETH_P_IP = 0x0800
_TCP = "0x00060000/0x00ff0000+8"
_GONE = (errno.ENOENT, errno.EINVAL, errno.ENODEV)

Ingress = Literal["ifb", "police", "none"]


@dataclass(frozen=True)
class Ways:
    """Both directions of a shaped interface.

    Attributes:
        up, down: what leaves through it and what comes in, as ends of a link.
        peer: whose packets are shaped.
        exempt_ports: TCP ports whose packets never are.
    """

    up: End
    down: End
    peer: str
    exempt_ports: tuple[int, ...]


def ifb_name(index: int) -> str:
    """The name of the interface that stands in for what comes in."""
    return f"netem{index}"


def build(ip: IPRoute, index: int, ways: Ways, backend: Backend, ingress: Ingress) -> None:
    """Put everything on. What comes in first: a link must not be half there when it begins to delay."""
    if ingress == "ifb":
        ifb = interfaces.index_of(ifb_name(index))
        ip.link("set", index=ifb, state="up", txqlen=interfaces.TRANSMIT_QUEUE_FRAMES)
        interfaces.shape(ip, ifb, ways.down, backend, fresh=True)
        ip.tc("add", "ingress", index)
        action: dict[str, Any] = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": ifb}
        _filters(ip, index, ways, _INGRESS, action)
    elif ingress == "police":
        ip.tc("add", "ingress", index)
        rate = bytes_per_s(ways.down.rate_mbps)
        burst = max(ways.down.burst_bytes, 2 * ways.down.mtu)
        _filters(ip, index, ways, _INGRESS, {"kind": "police", "rate": rate, "burst": burst, "action": "drop"})
    ip.tc("add", "htb", index, handle=OWN_ROOT, default=0)  # what no filter picks goes straight on
    unlimited = {"rate": _UNLIMITED_BYTES_PER_S, "burst": 100_000, "cburst": 100_000, "quantum": 60_000}
    ip.tc("add-class", "htb", index, handle=_PEER_CLASS, parent=OWN_ROOT, **unlimited)
    interfaces.shape(ip, index, ways.up, backend, fresh=True, parent=_PEER_CLASS)
    _filters(ip, index, ways, OWN_ROOT, None)


def reshape(ip: IPRoute, index: int, ways: Ways, backend: Backend, ingress: Ingress) -> None:
    """Change rates, delays and impairments in place."""
    interfaces.shape(ip, index, ways.up, backend, fresh=False, parent=_PEER_CLASS)
    if ingress == "ifb":
        interfaces.shape(ip, interfaces.index_of(ifb_name(index)), ways.down, backend, fresh=False)


def make_ifb(ip: IPRoute, index: int) -> bool:
    """Make the interface that stands in for what comes in; False where this kernel has no ifb."""
    try:
        ip.link("add", ifname=ifb_name(index), kind="ifb")
    except NetlinkError as error:
        if error.code in (errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL):
            return False
        raise
    return True


def polices(ip: IPRoute, scratch: int) -> bool:
    """Whether this kernel can drop what comes in too fast: tried on an interface of no importance."""
    try:
        ip.tc("add", "ingress", scratch)
        action = {"kind": "police", "rate": 1_000_000, "burst": 15_000, "action": "drop"}
        ip.tc("add-filter", "u32", scratch, **_picking(_INGRESS, 1, ["0x0/0x0+0"], _INGRESS | 1), action=action)
    except NetlinkError:
        return False
    return True


def take_off(ip: IPRoute, index: int, *, root: bool, ingress: bool) -> None:
    """Remove what ``build`` and ``make_ifb`` made; what is gone already is fine."""
    if root:
        _unless_gone(lambda: ip.tc("del", index=index, handle=OWN_ROOT, parent=0xFFFFFFFF))
    if ingress:
        _unless_gone(lambda: ip.tc("del", "ingress", index))
    remove_ifb(ip, index)


def remove_ifb(ip: IPRoute, index: int) -> None:
    """Remove the interface that stood in for what came in by the one of that number; none is fine."""
    if interfaces.exists(ifb_name(index)):
        ip.link("del", index=interfaces.index_of(ifb_name(index)))


def _unless_gone(action: Any) -> None:
    try:
        action()
    except NetlinkError as error:
        if error.code not in _GONE:
            raise


def _filters(ip: IPRoute, index: int, ways: Ways, parent: int, action: dict[str, Any] | None) -> None:
    """Exempt ports to the qdisc itself, which is its way around all classes; then the peer to its class or action."""
    peer, offset = int(ipaddress.IPv4Address(ways.peer)), 12 if parent == _INGRESS else 16
    priority = 0
    for port in ways.exempt_ports:
        for key in (f"0x{port:04x}0000/0xffff0000+20", f"0x0000{port:04x}/0x0000ffff+20"):
            priority += 1
            straight_on = parent if parent == OWN_ROOT else parent | 1
            ip.tc("add-filter", "u32", index, **_picking(parent, priority, [_TCP, key], straight_on))
    picked = _picking(parent, priority + 1, [f"0x{peer:08x}/0xffffffff+{offset}"], parent | 1)
    ip.tc("add-filter", "u32", index, **picked, **({} if action is None else {"action": action}))


def _picking(parent: int, priority: int, keys: list[str], target: int) -> dict[str, Any]:
    return {"parent": parent, "prio": priority, "protocol": _ETH_P_IP, "target": target, "keys": keys}
