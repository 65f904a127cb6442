"""What this host can do for a link, what not, and why: found by trying, never by version numbers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netem import linux
from netem.backends import missing_qdiscs
from netem.errors import NetemError
from netem.interfaces import Backend
from netem.namespaces import Sandbox, in_network_namespace

_SETTINGS = Path("/proc/sys")


@dataclass(frozen=True)
class Capability:
    """One thing a host may be able to do.

    Attributes:
        name: what it is called in the report.
        available: whether it worked when tried.
        detail: the figure or, where it did not work, why and what would help.
    """

    name: str
    available: bool
    detail: str


def report() -> list[Capability]:
    """Try everything; takes about a fifth of a second and leaves nothing behind."""
    sandbox = _tried("sandbox", _sandbox)
    found = [sandbox]
    if sandbox.available:
        found += [
            _tried("netem", lambda: _kernel("netem", "rate and delay by the kernel's qdiscs")),
            _tried("rate-only", lambda: _kernel("rate-only", "the rate by the kernel's htb")),
            _tried("relay", _packet_socket),
        ]
    else:
        found += [Capability(name, False, "no sandbox") for name in ("netem", "rate-only", "relay")]
    return [*found, _user_namespaces(), _congestion_control(), _real_time()]


def _tried(name: str, attempt: Callable[[], str]) -> Capability:
    try:
        return Capability(name, True, attempt())
    except (NetemError, OSError) as error:
        return Capability(name, False, str(error))


def _sandbox() -> str:
    with Sandbox():
        return "network, PID and mount namespaces"


def _kernel(backend: Backend, detail: str) -> str:
    if missing := missing_qdiscs(backend):
        raise NetemError(f"this kernel has no {' and no '.join(missing)}: load the module, or take the backend relay")
    return detail


def _packet_socket() -> str:
    from netem.packet_ring import PacketRing

    def open_ring() -> None:
        linux.loopback_up()
        PacketRing("lo", 1514).close()

    in_network_namespace(None, open_ring)
    return "AF_PACKET with a memory-mapped ring"


def _user_namespaces() -> Capability:
    pid = os.fork()
    if pid == 0:
        try:
            linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNET)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    why = "an ordinary user may make namespaces"
    if code:
        why = f"refused ({os.strerror(code)}): see user.max_user_namespaces and kernel.unprivileged_userns_clone"
    return Capability("user-namespaces", code == 0, why)


def _congestion_control() -> Capability:
    available = (_SETTINGS / "net/ipv4/tcp_available_congestion_control").read_text().split()
    host = (_SETTINGS / "net/ipv4/tcp_congestion_control").read_text().strip()
    return Capability("cubic", "cubic" in available, f"available: {' '.join(available)}; the host's own: {host}")


def _real_time() -> Capability:
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            os._exit(1)
        os._exit(0)
    permitted = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    detail = "the relay runs before what shares its core"
    return Capability("real-time", permitted, detail if permitted else "needs CAP_SYS_NICE: the relay may be late")
