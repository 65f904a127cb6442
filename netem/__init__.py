"""A link with an exact rate and delay between two network namespaces; knows nothing of what crosses it.

    with Sandbox() as sandbox:
        spec = LinkSpec(rate_up_mbps=57, rate_down_mbps=1000, delay_up_ms=14, delay_down_ms=14)
        applied = apply(sandbox, spec)
        check(probe(sandbox, spec, applied))
        sandbox.popen("device", ["ping", "-c", "3", sandbox.address("edge")]).wait()

Importing this package does not load netlink (pyroute2), so that pure code can have the theory cheaply: the
names of ``netem.shaper`` load it when first used.
"""

from typing import TYPE_CHECKING, Any

from netem.errors import CapabilityError, LinkSpecError, NetemError, ProbeError, ShapingError
from netem.impairments import GilbertElliott, Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.namespaces import Sandbox, Where
from netem.probe import LinkReport, check, probe, transfer_times_ms
from netem.rootless import become_root_inside
from netem.theory import goodput_mbps, link_rate_mbps, transfer_ms, wire_bytes
from netem.units import parse_duration_ms, parse_rate_mbps

if TYPE_CHECKING:
    from netem.shaper import AppliedLink, apply, change, choose_backend, planned_commands, restore

__all__ = [
    "AppliedLink",
    "CapabilityError",
    "GilbertElliott",
    "Impairments",
    "LinkReport",
    "LinkSpec",
    "LinkSpecError",
    "NetemError",
    "ProbeError",
    "Sandbox",
    "ShapingError",
    "TcpPolicy",
    "Where",
    "apply",
    "become_root_inside",
    "change",
    "check",
    "choose_backend",
    "goodput_mbps",
    "link_rate_mbps",
    "parse_duration_ms",
    "parse_rate_mbps",
    "planned_commands",
    "probe",
    "restore",
    "transfer_ms",
    "transfer_times_ms",
    "wire_bytes",
]

_OF_SHAPER = ("AppliedLink", "apply", "change", "choose_backend", "planned_commands", "restore")


def __getattr__(name: str) -> Any:
    """Load the names that need netlink (PEP 562)."""
    if name not in _OF_SHAPER:
        raise AttributeError(f"module 'netem' has no attribute {name!r}")
    from netem import shaper

    return getattr(shaper, name)


def __dir__() -> list[str]:
    return __all__
