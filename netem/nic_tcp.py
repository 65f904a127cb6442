"""The TCP policy of a link on a host that is not ours alone: one route to the peer and one sysctl, both put back."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from netem.link import TcpPolicy

_AFTER_IDLE = "net.ipv4.tcp_slow_start_after_idle"
_HOSTS_OWN = "net.ipv4.tcp_congestion_control"
_REPORTED = (_AFTER_IDLE, _HOSTS_OWN, "net.ipv4.tcp_no_metrics_save", "net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem")
_OWN_PROTOCOL = 92
"""Of a route: says who made it (RTA_PROTOCOL; 92 is free)."""


@dataclass(frozen=True)
class Route:
    """How packets to a host leave: interface, gateway (None: none), source address."""

    index: int
    gateway: str | None
    source: str | None


@dataclass(frozen=True)
class Planned:
    """What is to be set for connections to a peer.

    Attributes:
        peer: its address.
        route: how packets leave to it now.
        policy: what is asked for.
        slow_start: the sysctl as it was.
    """

    peer: str
    route: Route
    policy: TcpPolicy
    slow_start: str

    def before(self) -> dict[str, Any]:
        """What ``put_back`` needs."""
        return {"peer": self.peer, "index": self.route.index, "slow_start_after_idle": self.slow_start}

    def put(self, ip: IPRoute) -> list[str]:
        """Set it; notes on what this host does not let us set, so that a result is not comparable."""
        notes = []
        wanted = str(int(self.policy.slow_start_after_idle))
        if self.slow_start != wanted and not _write(_AFTER_IDLE, wanted):
            notes.append(f"sysctl {_AFTER_IDLE} is {self.slow_start} and cannot be set to {wanted}")
        segments = self.policy.initial_window_segments
        if segments != TcpPolicy.initial_window_segments:
            notes.append(f"connections to {self.peer} begin with the host's own window, not with {segments} segments")
        asked = self.policy.congestion_control
        if asked is None or asked == self.in_force():
            return notes
        try:
            ip.route("add", **_own_route(self.peer, self.route), metrics={"cc_algo": asked})
        except NetlinkError as error:
            reason = "there is a route to it already" if error.code == errno.EEXIST else f"{error.args[-1]}"
            notes.append(f"connections to {self.peer} do not use {asked} but {self.in_force()}: {reason}")
        return notes

    def in_force(self) -> str:
        """The congestion control of new connections to the peer."""
        with IPRoute() as ip:
            metrics = _route_message(ip, self.peer).get_attr("RTA_METRICS")
        named = None if metrics is None else metrics.get_attr("RTAX_CC_ALGO")
        return str(named or _read(_HOSTS_OWN))


def sysctls() -> dict[str, str]:
    """What of the host's settings makes a difference to TCP."""
    return {name: _read(name) for name in _REPORTED}


def planned(ip: IPRoute, peer: str, policy: TcpPolicy) -> Planned:
    """What a policy means for connections to a peer; nothing is set."""
    return Planned(peer, route_to(ip, peer), policy, _read(_AFTER_IDLE))


def put_back(ip: IPRoute, before: dict[str, Any]) -> None:
    """Undo ``Planned.put``."""
    put_back_sysctl(before)
    for route in ip.get_routes(family=2, oif=before["index"]):
        if route["proto"] == _OWN_PROTOCOL and route.get_attr("RTA_DST") == before["peer"]:
            ip.route("del", dst=f"{before['peer']}/32", oif=before["index"], proto=_OWN_PROTOCOL, scope=route["scope"])


def put_back_sysctl(before: dict[str, Any]) -> None:
    """The part of ``put_back`` that holds for the whole host."""
    if _read(_AFTER_IDLE) != before["slow_start_after_idle"]:
        _write(_AFTER_IDLE, before["slow_start_after_idle"])


def route_to(ip: IPRoute, peer: str) -> Route:
    """How packets to a host leave."""
    try:
        message = _route_message(ip, peer)
    except NetlinkError:
        return Route(0, None, None)
    return Route(message.get_attr("RTA_OIF"), message.get_attr("RTA_GATEWAY"), message.get_attr("RTA_PREFSRC"))


def _route_message(ip: IPRoute, peer: str) -> Any:
    (message,) = ip.route("get", dst=peer)
    return message


def _own_route(peer: str, route: Route) -> dict[str, Any]:
    ways: dict[str, Any] = {"scope": "link"} if route.gateway is None else {"gateway": route.gateway}
    if route.source is not None:
        ways["prefsrc"] = route.source
    return {"dst": f"{peer}/32", "oif": route.index, "proto": _OWN_PROTOCOL, **ways}


def _path(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def _read(name: str) -> str:
    try:
        return " ".join(_path(name).read_text().split())
    except OSError:
        return ""


def _write(name: str, value: str) -> bool:
    try:
        _path(name).write_text(value)
    except OSError:
        return False
    return True
