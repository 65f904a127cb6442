"""Puts a link between the two namespaces of a sandbox, and says what is then in force."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from netem import interfaces, tcp
from netem.errors import CapabilityError, LinkSpecError, ShapingError
from netem.impairments import UNIMPAIRED, GilbertElliott
from netem.interfaces import Backend, End
from netem.link import LinkSpec
from netem.namespaces import Sandbox, Where, in_network_namespace
from netem.plan import INTERFACES, MIDDLE_INTERFACES, ends, planned_commands
from netem.relay_client import RelayClient, channel_parameters
from netem.units import bytes_per_s, microseconds

__all__ = ["AppliedLink", "apply", "change", "choose_backend", "planned_commands", "restore"]

_TICK_US = 1
"""tbf keeps its bucket in whole microseconds of the rate."""


@dataclass(frozen=True)
class AppliedLink:
    """What is in force, as the kernel reports it after the link was set up.

    Attributes:
        backend: ``netem`` (kernel), ``relay`` (user space) or ``rate-only`` (kernel, no delay).
        interfaces: name of the link's interface in each namespace.
        mtu: largest IP packet.
        qdiscs: per namespace, root first.
        sysctls: per namespace, the ones the TCP policy sets.
        congestion_control: per namespace, what a real connection uses.
        offloads: per namespace (ethtool's names).
        relay_cpus: the cores the relay may run on; None without a relay.
        relay_scheduling: ``fifo``, ``nice -15`` or ``other``; None without a relay.
        relay_compensation_ms: the relay's own one-way latency, taken off the delay; None without a relay.
        netlink_ms: what setting it up took, without starting a relay, proving the TCP policy and calibrating.
        notes: where the link is not all that was asked for, and why.
        sysctls_before: per namespace, what ``restore`` puts back.
        spec: what was asked for.
        relay: the running relay.
    """

    backend: Backend
    interfaces: dict[Where, str]
    mtu: int
    qdiscs: dict[Where, list[dict[str, Any]]]
    sysctls: dict[Where, dict[str, str]]
    congestion_control: dict[Where, str]
    offloads: dict[Where, dict[str, bool]]
    relay_cpus: list[int] | None = None
    relay_scheduling: str | None = None
    relay_compensation_ms: float | None = None
    netlink_ms: float = 0.0
    notes: tuple[str, ...] = ()
    sysctls_before: dict[Where, dict[str, str]] = field(default_factory=dict)
    spec: LinkSpec | None = field(default=None, repr=False)
    relay: RelayClient | None = field(default=None, repr=False, compare=False)

    def relay_statistics(self) -> dict[str, Any] | None:
        """Frames, bytes, drops and lateness of the relay so far, per direction; None without a relay."""
        return None if self.relay is None else self.relay.statistics()

    def as_dict(self) -> dict[str, Any]:
        """Everything but the spec and the running relay, as plain JSON types."""
        names = [name for name in self.__dataclass_fields__ if name not in ("spec", "relay")]
        return {name: getattr(self, name) for name in names}


@cache
def choose_backend() -> Backend:
    """``netem`` where a throw-away veth in a scratch namespace takes ``sch_netem``, else ``relay``.

    Raises:
        CapabilityError: this process may not make network namespaces.
    """
    return "netem" if in_network_namespace(None, interfaces.accepts_netem) else "relay"


def apply(
    sandbox: Sandbox,
    spec: LinkSpec,
    *,
    relay_cpu: int | None = None,
    backend: Backend | None = None,
    calibrate: bool = True,
    allow_no_delay: bool = False,
) -> AppliedLink:
    """Join the two namespaces by the link that the spec asks for, and read it back.

    Args:
        sandbox: an entered sandbox that has no link yet.
        spec: the link.
        relay_cpu: the core for the relay, if there is one: one that is idle while packets travel.
        backend: which one; None takes ``choose_backend``.
        calibrate: whether to measure the relay's own latency and take it off the delay (a third of a second).
        allow_no_delay: let ``rate-only`` leave out a delay that the spec asks for; the result then says so.

    Raises:
        CapabilityError: this host cannot do it.
        ShapingError: the kernel did not take, or did not keep, what was asked for.
    """
    chosen = backend or choose_backend()
    if chosen == "netem" and choose_backend() != "netem":
        raise CapabilityError(
            "this kernel has no sch_netem: allowed here is the backend relay; ask for it, or load the module"
        )
    notes = _left_out(spec, allow_no_delay) if chosen == "rate-only" else ()
    if sandbox.call("device", lambda: interfaces.exists(INTERFACES["device"])):
        raise ShapingError("this sandbox has a link already: one link a sandbox; change it, or restore it first")
    # Nothing may be lost while the TCP policy is proved and the relay calibrated.
    plain = replace(spec, impairments_up=UNIMPAIRED, impairments_down=UNIMPAIRED)
    with _undone_on_error(sandbox) as made:
        applied = _set_up(sandbox, plain, AppliedLink(chosen, dict(INTERFACES), spec.mtu, {}, {}, {}, {}, notes=notes))
        if chosen == "relay":
            middle = (MIDDLE_INTERFACES["device"], MIDDLE_INTERFACES["edge"])
            made.append(RelayClient(sandbox, middle, relay_cpu, plain))
            applied = replace(applied, relay=made[0])
            if calibrate:
                made[0].calibrate(sandbox, plain)
        in_force = tcp.congestion_control_in_force(sandbox)
        tcp.require_policy(spec, in_force)
        applied = change(sandbox, replace(applied, spec=plain, congestion_control=in_force), spec)
        if applied.relay is not None:
            applied.relay.reset()
        return applied


def _set_up(sandbox: Sandbox, spec: LinkSpec, applied: AppliedLink) -> AppliedLink:
    started_s = time.perf_counter()
    _join(sandbox, spec, applied.backend)
    before: dict[Where, dict[str, str]] = {}
    sysctls: dict[Where, dict[str, str]] = {}
    for end, where in ends(spec):
        before[where], sysctls[where] = sandbox.call(where, lambda: tcp.set_sysctls(tcp.sysctl_values(spec)))
        sandbox.call(where, lambda end=end: interfaces.configure(end, applied.backend))  # type: ignore[misc]
    netlink_ms = (time.perf_counter() - started_s) * 1e3
    return replace(applied, sysctls=sysctls, sysctls_before=before, netlink_ms=netlink_ms)


def change(sandbox: Sandbox, applied: AppliedLink, spec: LinkSpec, *, read_back: bool = True) -> AppliedLink:
    """Make the link another one in place: at no moment is it unlimited, and every attribute is sent again.

    Packets on their way keep their delay; packets in the queue leave at the new rate. The relay's bucket keeps
    its level, the kernel's tbf fills its bucket at each change. ``read_back`` false saves the milliseconds of
    asking the kernel what it now has (the relay's answer is checked anyway).

    Raises:
        LinkSpecError: MTU, TCP policy or a delay without a backend for it cannot be changed in place.
        ShapingError: the kernel did not take, or did not keep, what was asked for.
    """
    old = applied.spec
    if old is None or (old.mtu, old.tcp) != (spec.mtu, spec.tcp):
        raise LinkSpecError("mtu and tcp cannot be changed in place: restore the link, then apply the new one")
    notes = _left_out(spec, bool(applied.notes)) if applied.backend == "rate-only" else applied.notes
    if applied.relay is not None:
        _require_parameters(spec, applied.relay, applied.relay.change(spec))
    else:
        for end, where in ends(spec):
            sandbox.call(where, lambda end=end: interfaces.reshape(end, applied.backend))  # type: ignore[misc]
    changed = replace(applied, spec=spec, notes=notes)
    return _read_back(sandbox, spec, changed) if read_back else changed


def restore(sandbox: Sandbox, applied: AppliedLink) -> None:
    """Take the link away and put back what was there before ``apply``: no interface, the old sysctls."""
    if applied.relay is not None:
        applied.relay.close()
    _remove(sandbox)
    for where, values in applied.sysctls_before.items():
        sandbox.call(where, lambda values=values: tcp.set_sysctls(values))  # type: ignore[misc]


def _left_out(spec: LinkSpec, allowed: bool) -> tuple[str, ...]:
    asked = []
    if spec.rtt_ms:
        asked.append(f"{spec.rtt_ms:g} ms of delay")
    if not (spec.impairments_up.none and spec.impairments_down.none):
        asked.append("jitter, loss, reordering, duplicates or corruption")
    if not asked:
        return ()
    text = f"the backend rate-only leaves out {' and '.join(asked)}"
    if not allowed:
        raise CapabilityError(f"{text}: allowed are netem and relay; or accept it with --allow-no-delay")
    return (text,)


@contextmanager
def _undone_on_error(sandbox: Sandbox) -> Iterator[list[RelayClient]]:
    made: list[RelayClient] = []
    try:
        yield made
    except BaseException:
        for relay in made:
            relay.close()
        _remove(sandbox)
        raise


def _remove(sandbox: Sandbox) -> None:
    for end, where in ((INTERFACES["device"], "device"), (INTERFACES["edge"], "edge")):
        sandbox.call(where, lambda end=end: interfaces.remove(end))  # type: ignore[misc, arg-type]


def _join(sandbox: Sandbox, spec: LinkSpec, backend: Backend) -> None:
    if backend != "relay":
        peer, ours, theirs = sandbox.netns("edge"), INTERFACES["device"], INTERFACES["edge"]
        sandbox.call("device", lambda: interfaces.create_veth(ours, theirs, peer))
        return
    middle = sandbox.netns("middle")
    no_ipv6 = {"net.ipv6.conf.all.disable_ipv6": "1"}  # the relay's interfaces must not speak themselves
    sandbox.call("middle", lambda: tcp.set_sysctls(no_ipv6))
    for where, name in INTERFACES.items():
        inner = MIDDLE_INTERFACES[where]
        sandbox.call(where, lambda name=name, inner=inner: interfaces.create_veth(name, inner, middle))  # type: ignore[misc]
        sandbox.call(where, lambda name=name: interfaces.complete_checksums(name))  # type: ignore[misc]
        sandbox.call("middle", lambda inner=inner: interfaces.raise_relay_end(inner, spec.mtu))  # type: ignore[misc]


def _read_back(sandbox: Sandbox, spec: LinkSpec, applied: AppliedLink) -> AppliedLink:
    qdiscs: dict[Where, list[dict[str, Any]]] = {}
    offloads: dict[Where, dict[str, bool]] = {}
    notes = list(applied.notes)
    for end, where in ends(spec):
        qdiscs[where] = sandbox.call(where, lambda name=end.interface: interfaces.qdiscs(name))  # type: ignore[misc]
        offloads[where] = sandbox.call(where, lambda name=end.interface: interfaces.offloads(name))  # type: ignore[misc]
        _require_qdiscs(end, where, applied.backend, qdiscs[where])
        if not end.impairments.none and any("seed" in q and q["seed"] is None for q in qdiscs[where]):
            notes.append(
                f"this kernel takes no seed (Linux 6.6 does): what {where} sends is lost differently each time"
            )
    applied = replace(applied, qdiscs=qdiscs, offloads=offloads, notes=tuple(dict.fromkeys(notes)))
    if (relay := applied.relay) is None:
        return applied
    state = relay.statistics()
    _require_parameters(spec, relay, state)
    return replace(
        applied,
        relay_cpus=state["cpus"],
        relay_scheduling=state["scheduling"],
        relay_compensation_ms=relay.compensation_us / 1e3,
    )


def _require_parameters(spec: LinkSpec, relay: RelayClient, state: dict[str, Any]) -> None:
    for way, asked in channel_parameters(spec, relay.compensation_us).items():
        if state[way]["parameters"] != asked:
            raise ShapingError(f"the relay reports {state[way]['parameters']} {way}, but {asked} was set")


def _require_qdiscs(end: End, where: Where, backend: Backend, found: list[dict[str, Any]]) -> None:
    asked: list[dict[str, Any]] = []
    if backend == "netem":
        asked.append(_asked_of_netem(end))
    if backend != "relay":
        asked.append({"kind": "tbf", "rate_bytes_per_s": bytes_per_s(end.rate_mbps), "limit_bytes": end.queue_bytes})
    shaping = [qdisc for qdisc in found if qdisc["kind"] in ("netem", "tbf")]
    bucket_step_bytes = 1 + bytes_per_s(end.rate_mbps) * _TICK_US / 1e6
    ok = len(shaping) == len(asked) and all(
        _same(got[name], value) for got, wanted in zip(shaping, asked, strict=True) for name, value in wanted.items()
    )
    if ok and backend != "relay":
        ok = abs(shaping[-1]["burst_bytes"] - end.burst_bytes) <= bucket_step_bytes
    if not ok:
        raise ShapingError(
            f"the kernel reports {found} on {end.interface} in the {where} namespace, but {asked} was set: "
            "another program changes it"
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
