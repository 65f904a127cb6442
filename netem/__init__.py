"""A link with an exact rate and delay between two network namespaces; knows nothing of what crosses it.

    with Sandbox() as sandbox:
        spec = LinkSpec(rate_up_mbps=57, rate_down_mbps=1000, delay_up_ms=14, delay_down_ms=14)
        applied = apply(sandbox, spec)
        check(probe(sandbox, spec, applied))
        sandbox.popen("device", ["ping", "-c", "3", sandbox.address("edge")]).wait()

Importing this package loads nothing; each name loads its module when it is first used, so that pure code
can have ``netem.theory`` without netlink.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netem.errors import CapabilityError, LinkSpecError, NetemError, ProbeError, ShapingError
    from netem.link import LinkSpec, TcpPolicy
    from netem.namespaces import Sandbox, Where
    from netem.probe import LinkReport, check, probe
    from netem.shaper import AppliedLink, apply, choose_backend, planned_commands
    from netem.theory import goodput_mbps, link_rate_mbps, transfer_ms, wire_bytes
    from netem.units import parse_duration_ms, parse_rate_mbps

__all__ = [
    "AppliedLink",
    "CapabilityError",
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
    "check",
    "choose_backend",
    "goodput_mbps",
    "link_rate_mbps",
    "parse_duration_ms",
    "parse_rate_mbps",
    "planned_commands",
    "probe",
    "transfer_ms",
    "wire_bytes",
]

_HOME_OF = {
    "errors": ("CapabilityError", "LinkSpecError", "NetemError", "ProbeError", "ShapingError"),
    "link": ("LinkSpec", "TcpPolicy"),
    "namespaces": ("Sandbox", "Where"),
    "probe": ("LinkReport", "check", "probe"),
    "shaper": ("AppliedLink", "apply", "choose_backend", "planned_commands"),
    "theory": ("goodput_mbps", "link_rate_mbps", "transfer_ms", "wire_bytes"),
    "units": ("parse_duration_ms", "parse_rate_mbps"),
}
_MODULE_OF = {name: module for module, names in _HOME_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'netem' has no attribute {name!r}")
    value = getattr(import_module(f"netem.{_MODULE_OF[name]}"), name)
    # `probe` is a function and a submodule: whatever importing left here, the public name wins.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
