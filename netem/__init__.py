"""A link with an exact rate and delay between two network namespaces; knows nothing of what crosses it.

    with Sandbox() as sandbox:
        spec = LinkSpec(rate_up_mbps=57, rate_down_mbps=1000, delay_up_ms=14, delay_down_ms=14)
        applied = apply(sandbox, spec)
        check(probe(sandbox, spec, applied))
        sandbox.popen("device", ["ping", "-c", "3", sandbox.address("edge")]).wait()

Importing this package does not load netlink (pyroute2), so that pure code can have the theory cheaply: the names
that need it load it when first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netem.errors import CapabilityError, LinkSpecError, NetemError, ProbeError, ShapingError
from netem.impairments import GilbertElliott, Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.namespaces import Sandbox, Where
from netem.probe import LinkReport, check, probe, transfer_times_ms
from netem.theory import goodput_mbps, link_rate_mbps, transfer_ms, wire_bytes
from netem.units import parse_duration_ms, parse_rate_mbps

if TYPE_CHECKING:
    from netem.backends import missing_qdiscs
    from netem.packet_probe import PacketReport, send_packets
    from netem.rootless import become_root_inside
    from netem.shaper import AppliedLink, apply, change, choose_backend, planned_commands, restore, verify
    from netem.trace import Trace, TraceReplay, cellular_uplink

__all__ = [
    "AppliedLink",
    "CapabilityError",
    "GilbertElliott",
    "Impairments",
    "LinkReport",
    "LinkSpec",
    "LinkSpecError",
    "NetemError",
    "PacketReport",
    "ProbeError",
    "Sandbox",
    "ShapingError",
    "TcpPolicy",
    "Trace",
    "TraceReplay",
    "Where",
    "apply",
    "become_root_inside",
    "cellular_uplink",
    "change",
    "check",
    "choose_backend",
    "goodput_mbps",
    "link_rate_mbps",
    "missing_qdiscs",
    "parse_duration_ms",
    "parse_rate_mbps",
    "planned_commands",
    "probe",
    "restore",
    "send_packets",
    "transfer_ms",
    "transfer_times_ms",
    "verify",
    "wire_bytes",
]

_MODULES = {
    "backends": ("missing_qdiscs",),
    "packet_probe": (
        "PacketReport",
        "send_packets",
    ),
    "rootless": ("become_root_inside",),
    "shaper": (
        "AppliedLink",
        "apply",
        "change",
        "choose_backend",
        "planned_commands",
        "restore",
        "verify",
    ),
    "trace": (
        "Trace",
        "TraceReplay",
        "cellular_uplink",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name, and keep it."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'netem' has no attribute {name!r}")
    value = getattr(import_module(f"netem.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
