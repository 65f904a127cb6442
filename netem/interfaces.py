"""The two ends of a link, by netlink. Every function here works in the calling thread's network namespace
(see ``Sandbox.call``) and raises ShapingError with the kernel's reason."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.tcmsg import plugins, sched_pfifo

from netem import netem_options, qdisc
from netem.errors import CapabilityError, ShapingError
from netem.impairments import Impairments
from netem.link import ETHERNET_HEADER_BYTES
from netem.units import bytes_per_s

netem_options.register()
plugins.setdefault("bfifo", sched_pfifo)  # pyroute2 has the one that counts packets; both have the same options

Backend = Literal["netem", "relay", "rate-only"]

TRANSMIT_QUEUE_FRAMES = 10_000
"""Room before the relay; it stays nearly empty unless the relay is held up."""

_ROOT_HANDLE = 0x00010000
_ROOT_CHILD = 0x00010001
_RATE_HANDLE = 0x00020000
_RATE_CLASS = 0x00020001
_QUEUE_HANDLE = 0x00030000

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_ETHTOOL_SGRO = 0x2C
_ETHTOOL_GETTERS = {
    "rx_checksum": 0x14,
    "tx_checksum": 0x16,
    "sg": 0x18,
    "tso": 0x1E,
    "gso": 0x23,
    "gro": 0x2B,
}
"""ETHTOOL_GRXCSUM and its kin in <linux/ethtool.h>."""


@dataclass(frozen=True)
class End:
    """One end of the link and what leaves through it.

    Attributes:
        interface: name, the same idea in both namespaces but never the same name.
        mac: its Ethernet address.
        address: its IPv4 address.
        peer_address, peer_mac: the other end's, so that nothing needs to be asked on the wire.
        rate_mbps, delay_ms, burst_bytes, queue_bytes: of the direction that begins here.
        mtu: largest IP packet.
        impairments: of the direction that begins here.
        seed: of what is random in it.
        congestion_control: put on the route to the peer; None leaves the host's.
        initial_window_segments: of connections over that route.
    """

    interface: str
    mac: str
    address: str
    peer_address: str
    peer_mac: str
    rate_mbps: float
    delay_ms: float
    burst_bytes: int
    queue_bytes: int
    mtu: int
    impairments: Impairments
    seed: int
    congestion_control: str | None
    initial_window_segments: int


def configure(end: End, backend: Backend, peer: tuple[str, str] | None) -> None:
    """Address, neighbour, route and qdiscs of one end, and bring it up: over one netlink socket, one request each.

    Args:
        end: what to set up.
        backend: which qdiscs; for the relay, checksums are completed on sending.
        peer: where the veth pair is still to be made: name and network namespace (a path) of its other end.
    """
    with netlink(f"set up {end.interface}") as ip:
        if peer is not None:
            _create_veth(ip, end.interface, *peer)
        if backend == "relay":
            complete_checksums(end.interface)
        index = index_of(end.interface)
        shape(ip, index, end, backend, fresh=True)
        # One segment at most: htb must see the frames that the link carries, not what offload glues together.
        plain = {"mtu": end.mtu, "txqlen": TRANSMIT_QUEUE_FRAMES, "gso_max_segs": 1}
        ip.link("set", index=index, address=end.mac, state="up", **plain)
        ip.addr("replace", index=index, address=end.address, prefixlen=32)
        ip.neigh("replace", dst=end.peer_address, lladdr=end.peer_mac, ifindex=index, state="permanent")
        _route(ip, index, end)


def _create_veth(ip: IPRoute, interface: str, peer_interface: str, peer_namespace: str) -> None:
    descriptor = os.open(peer_namespace, os.O_RDONLY)
    try:
        ip.link("add", ifname=interface, kind="veth", peer={"ifname": peer_interface, "net_ns_fd": descriptor})
    finally:
        os.close(descriptor)


def _route(ip: IPRoute, index: int, end: End) -> None:
    metrics: dict[str, int | str] = {"initcwnd": end.initial_window_segments}
    if end.congestion_control is not None:
        metrics["cc_algo"] = end.congestion_control
    try:
        ip.route("replace", dst=f"{end.peer_address}/32", oif=index, scope="link", prefsrc=end.address, metrics=metrics)
    except NetlinkError as error:
        if error.code not in (errno.EINVAL, errno.ENOENT) or end.congestion_control is None:
            raise
        raise CapabilityError(
            f"congestion control {end.congestion_control!r} is not in this kernel: allowed are those in "
            "/proc/sys/net/ipv4/tcp_available_congestion_control; choose one, or None for the host's"
        ) from error


def reshape(end: End, backend: Backend) -> None:
    """Change the qdiscs of one end in place: the same handles, every attribute sent again."""
    with netlink(f"change {end.interface}") as ip:
        shape(ip, index_of(end.interface), end, backend, fresh=False)


def shape(ip: IPRoute, index: int, end: End, backend: Backend, *, fresh: bool, parent: int | None = None) -> None:
    """Put the qdiscs on, or change them in place: netem's end delay, then rate; the relay's none.

    They stand at the root, or below the class ``parent`` of somebody's root.

    netem stands at the root because it takes a packet off its socket's account on arrival; below the rate, a sender's
    small-queue limit would count the bytes that are only on their way and throttle it.

    The rate is htb's, with one class, and not tbf's: ``tbf_change`` fills its bucket, so that each change in place
    lets a burst through (200 changes under load: 170 kB more than the link allows), while a class of htb keeps its
    tokens (none more).
    """
    if backend == "relay":
        return
    if backend == "netem":
        below = {} if parent is None else {"parent": parent}
        ip.tc("replace", "netem", index, handle=_ROOT_HANDLE, **below, **qdisc.netem_keywords(end))
        parent = _ROOT_CHILD
    if fresh:  # htb itself has nothing to change
        below = {} if parent is None else {"parent": parent}
        ip.tc("add", "htb", index, handle=_RATE_HANDLE, default=_RATE_CLASS & 0xFFFF, **below)
    bucket = max(1, qdisc.htb_bucket_bytes(end))
    ip.tc(
        *("replace-class", "htb", index),
        handle=_RATE_CLASS,
        parent=_RATE_HANDLE,
        rate=bytes_per_s(end.rate_mbps),
        burst=bucket,
        cburst=bucket,
        quantum=end.mtu + ETHERNET_HEADER_BYTES,
    )
    ip.tc("replace", "bfifo", index, handle=_QUEUE_HANDLE, parent=_RATE_CLASS, limit=end.queue_bytes)


def raise_relay_ends(interfaces: Sequence[str], mtu: int) -> None:
    """Bring up the interfaces of the relay's namespace, as plain as they can be."""
    with netlink(f"set up {' and '.join(interfaces)}") as ip:
        for interface in interfaces:
            ip.link("set", index=index_of(interface), mtu=mtu, state="up", gso_max_segs=1)


def complete_checksums(interface: str) -> None:
    """Have the kernel complete every checksum on sending: the relay's copy of a frame must be whole.

    Segmentation offload goes with it (the kernel's own dependency).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        value = (ctypes.c_uint32 * 2)(_ETHTOOL_STXCSUM, 0)
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sQ16x", interface.encode(), ctypes.addressof(value)))
        except OSError as error:
            raise ShapingError(
                f"checksum offload of {interface} cannot be switched off: {error.strerror}; the relay needs it off"
            ) from error


def set_gro(interface: str, on: bool) -> bool:
    """Have what comes in glued together to large packets, or not (ethtool -K gro); whether the kernel did it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        value = (ctypes.c_uint32 * 2)(_ETHTOOL_SGRO, int(on))
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sQ16x", interface.encode(), ctypes.addressof(value)))
        except OSError:
            return False
    return offloads(interface).get("gro") is on


def exists(interface: str) -> bool:
    """Whether an interface of that name is there."""
    return interface in (name for _, name in socket.if_nameindex())


def remove(interface: str) -> None:
    """Delete an interface, and with a veth its other end; one that is gone is fine."""
    with netlink(f"delete {interface}") as ip:
        if exists(interface):
            ip.link("del", index=index_of(interface))


def qdiscs(interface: str) -> list[dict[str, Any]]:
    """The qdiscs of an interface as the kernel reports them, root first, in plain units; htb with its one class."""
    with netlink(f"read back {interface}") as ip:
        index = index_of(interface)
        messages = list(ip.get_qdiscs(index=index))
        classes = {
            message["handle"] >> 16: qdisc.describe_class(message)
            for message in ip.get_classes(index=index)
            if message.get_attr("TCA_KIND") == "htb"
        }
        found = [
            qdisc.describe(message) | (classes.get(message["handle"] >> 16, {}) if is_htb else {})
            for message in messages
            for is_htb in (message.get_attr("TCA_KIND") == "htb",)
        ]
        return sorted(found, key=lambda described: (described["parent"] != "root", described["handle"]))


def offloads(interface: str) -> dict[str, bool]:
    """What the interface leaves to hardware that it does not have (ethtool)."""
    state = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, command in _ETHTOOL_GETTERS.items():
            value = (ctypes.c_uint32 * 2)(command, 0)  # struct ethtool_value, which the request points to
            request = struct.pack("16sQ16x", interface.encode(), ctypes.addressof(value))
            with suppress(OSError):  # an interface without the notion has nothing to report
                fcntl.ioctl(control, _SIOCETHTOOL, request)
                state[name] = bool(value[1])
    return state


def accepts(kind: str) -> bool:
    """Whether this kernel has that qdisc: tried on a throw-away veth of the calling thread's namespace.

    Args:
        kind: ``netem`` or ``htb``.
    """
    keywords = {"netem": {"delay": 1000}, "htb": {"default": 1}}[kind]
    with netlink("make a throw-away veth") as ip:
        ip.link("add", ifname="try0", kind="veth", peer={"ifname": "try1"})
        try:
            ip.tc("add", kind, index_of("try0"), handle=_ROOT_HANDLE, **keywords)
        except NetlinkError:
            return False
        return True


def index_of(interface: str) -> int:
    """The interface's number. Raises ShapingError where it is gone."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise ShapingError(f"interface {interface} is not there: the link was taken down; apply it again") from error


@contextmanager
def netlink(what: str) -> Iterator[IPRoute]:
    """A netlink socket, whose errors are raised as what could not be done and why.

    Args:
        what: is being done, such as ``set up uplink0``.

    Raises:
        CapabilityError: this process may not.
        ShapingError: the kernel refused.
    """
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        if error.code in (errno.EPERM, errno.EACCES):
            raise CapabilityError(f"may not {what}: this process needs CAP_NET_ADMIN; run it as root") from error
        raise ShapingError(f"could not {what}: the kernel says {error.args[-1]} ({error.code})") from error
