"""What is in force, asked of the kernel and of the relay, and held against what was set."""

from dataclasses import dataclass
from typing import Any

from netem import interfaces
from netem.errors import ShapingError
from netem.impairments import GilbertElliott
from netem.interfaces import Backend, End
from netem.link import LinkSpec
from netem.namespaces import Sandbox, Where
from netem.plan import ends
from netem.qdisc import htb_bucket_bytes
from netem.relay_client import channel_parameters
from netem.units import bytes_per_s, microseconds

_TICK_US = 1
"""pyroute2 sends the bucket in whole microseconds of the rate."""


@dataclass(frozen=True)
class KernelState:
    """What the kernel reports of both ends.

    Attributes:
        qdiscs: per namespace, root first.
        offloads: per namespace (ethtool's names).
        notes: what the kernel did not take, and why.
    """

    qdiscs: dict[Where, list[dict[str, Any]]]
    offloads: dict[Where, dict[str, bool]]
    notes: tuple[str, ...]


def kernel_state(sandbox: Sandbox, spec: LinkSpec, backend: Backend, compensation_us: int) -> KernelState:
    """Ask the kernel.

    Raises:
        ShapingError: it reports something else than what was set.
    """
    qdiscs: dict[Where, list[dict[str, Any]]] = {}
    offloads: dict[Where, dict[str, bool]] = {}
    notes = []
    for end, where in ends(spec, compensation_us):
        name = end.interface
        qdiscs[where], offloads[where] = sandbox.call(
            where,
            lambda name=name: (interfaces.qdiscs(name), interfaces.offloads(name)),  # type: ignore[misc]
        )
        require_qdiscs(end, where, backend, qdiscs[where])
        if not end.impairments.none and any("seed" in q and q["seed"] is None for q in qdiscs[where]):
            notes.append(
                f"this kernel takes no seed (Linux 6.6 does): what {where} sends is lost differently each time"
            )
    return KernelState(qdiscs, offloads, tuple(notes))


def require_parameters(spec: LinkSpec, compensation_us: int, state: dict[str, Any]) -> None:
    """Raise ShapingError unless the relay's state has the parameters of the spec."""
    for way, asked in channel_parameters(spec, compensation_us).items():
        if state[way]["parameters"] != asked:
            raise ShapingError(f"the relay reports {state[way]['parameters']} {way}, but {asked} was set")


def require_qdiscs(end: End, where: str, backend: Backend, found: list[dict[str, Any]]) -> None:
    """Raise ShapingError unless the qdiscs found on an end are those that were set.

    Args:
        end: what was set.
        where: what the end is called in the message.
        backend: whose qdiscs they are.
        found: of ``interfaces.qdiscs``.
    """
    asked: list[dict[str, Any]] = []
    if backend == "netem":
        asked.append(_asked_of_netem(end))
    if backend != "relay":
        rate = bytes_per_s(end.rate_mbps)
        asked.append({"kind": "htb", "rate_bytes_per_s": rate, "ceil_bytes_per_s": rate})
        asked.append({"kind": "bfifo", "limit_bytes": end.queue_bytes})
    shaping = [qdisc for qdisc in found if qdisc["kind"] in ("netem", "htb", "bfifo")]
    bucket_step_bytes = 1 + bytes_per_s(end.rate_mbps) * _TICK_US / 1e6
    ok = len(shaping) == len(asked) and all(
        _same(got[name], value) for got, wanted in zip(shaping, asked, strict=True) for name, value in wanted.items()
    )
    if ok and backend != "relay":
        ok = abs(shaping[-2]["burst_bytes"] - htb_bucket_bytes(end)) <= bucket_step_bytes
    if ok and backend == "netem":  # None: a kernel that takes no seed
        ok = shaping[0]["seed"] in (None, end.seed)
    if not ok:
        raise ShapingError(
            f"the kernel reports {found} on {end.interface} ({where}), but {asked} was set: another program changes it"
        )


def _asked_of_netem(end: End) -> dict[str, Any]:
    impairments, loss = end.impairments, end.impairments.loss
    chain = isinstance(loss, GilbertElliott)
    return {
        "kind": "netem",
        "delay_us": microseconds(end.delay_ms),
        "jitter_us": microseconds(impairments.jitter_ms),
        "loss": [loss.to_bad, loss.to_good, loss.loss_bad, loss.loss_good] if chain else loss,  # type: ignore[union-attr]
        "duplicate": impairments.duplicate,
        "reorder": impairments.reorder,
        "corrupt": impairments.corrupt,
    }


def _same(got: Any, asked: Any) -> bool:
    """Equal, but for the kernel's 32 bits of a probability."""
    if isinstance(asked, list):
        return isinstance(got, list) and all(_same(one, other) for one, other in zip(got, asked, strict=True))
    if isinstance(asked, float):
        return isinstance(got, int | float) and abs(got - asked) < 1e-8
    return bool(got == asked)
