"""What may befall a link while it is used, done from outside by whoever may enter the device's network namespace."""

from __future__ import annotations

from netem import LinkSpec, interfaces
from netem.interfaces import Backend
from netem.namespaces import in_network_namespace
from netem.plan import INTERFACES, ends

#: An address that nobody has: frames to it reach the other end, which drops them.
_NOBODY = "02:00:00:00:00:99"
SLOW_MBPS = 1.0


def take_down(namespace: str) -> None:
    """`ip link set uplink0 down`; the namespace is a path such as `/proc/PID/ns/net`."""

    def body() -> None:
        with interfaces.netlink("take the link down") as ip:
            ip.link("set", index=interfaces.index_of(INTERFACES["device"]), state="down")

    in_network_namespace(namespace, body)


def lose_everything(namespace: str) -> None:
    """Every frame to the edge is lost from now on, on any backend, and both ends look as they did."""
    end = _end()

    def body() -> None:
        with interfaces.netlink("give the neighbour another address") as ip:
            index = interfaces.index_of(end.interface)
            ip.neigh("replace", dst=end.peer_address, lladdr=_NOBODY, ifindex=index, state="permanent")

    in_network_namespace(namespace, body)


def slow_down(namespace: str, backend: Backend) -> None:
    """The uplink has 1 Mbit/s from now on."""
    end, fresh = _end(), backend == "relay"  # before whose interfaces there are no qdiscs

    def body() -> None:
        with interfaces.netlink("change the rate") as ip:
            chosen: Backend = "rate-only" if fresh else backend
            interfaces.shape(ip, interfaces.index_of(end.interface), end, chosen, fresh=fresh)

    in_network_namespace(namespace, body)


def _end() -> interfaces.End:
    return ends(LinkSpec(SLOW_MBPS, 1000, 14, 14, burst_bytes=3028))[0][0]
