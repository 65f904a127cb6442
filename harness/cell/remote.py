"""What may be asked of a board of its own (`hardware=remote`), found out before anything is started."""

from __future__ import annotations

from harness.errors import SpecError
from harness.spec import Spec
from harness.testbed.link import variability


def check(spec: Spec) -> None:
    """Find what is wrong with a cell on a board, or what of a board another cell names.

    Raises:
        SpecError: no way to the board, a link that an interface cannot have, or a board where none is asked for.
    """
    board, edge = spec.hardware.device, spec.hardware.edge
    asked = {
        "hardware.device.host": (board.host, "a Host of your ssh config, or user@address"),
        "hardware.device.interface": (board.interface, "the interface of the board that leads to this host, e.g. eth0"),
        "hardware.edge.address": (edge.address, "the IPv4 address of this host, as the board reaches it"),
    }
    if spec.hardware.kind != "remote":
        named = [key for key, (value, _) in asked.items() if value is not None]
        if named:
            raise SpecError(f"{named[0]} is for a board; hardware={spec.hardware.name} has none: add hardware=remote")
        if spec.link.backend == "rate-only":
            raise SpecError("link.backend=rate-only is for hardware=remote; allowed here: auto, netem, relay")
        return
    for key, (value, meaning) in asked.items():
        if value is None:
            raise SpecError(f"{key}=null: hardware={spec.hardware.name} needs it; allowed: {meaning}")
    for key, given, allowed in (
        ("link.backend", spec.link.backend, ("auto", "netem", "rate-only")),
        ("link", spec.link.name, ("static",)),
        ("hardware.edge.endpoint", edge.endpoint, ("multiplexed",)),
    ):
        if given not in allowed:
            raise SpecError(f"{key}={given}: not with hardware={spec.hardware.name}; allowed: {', '.join(allowed)}")
    if edge.url is not None:
        raise SpecError(
            f"hardware.edge.url={edge.url}: not with hardware={spec.hardware.name}; its edge is this host's Triton; "
            "allowed: null"
        )
    if spec.link.backend == "rate-only" and not variability(spec).none:
        raise SpecError("link.backend=rate-only makes no jitter, loss or the like; allowed: link.backend=netem, auto")
