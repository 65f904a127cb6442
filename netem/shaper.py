"""Puts a link between the two namespaces of a sandbox, and says what is then in force."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from netem import interfaces, tcp
from netem.backends import choose_backend, left_out, require_qdiscs
from netem.calibration import latency_us
from netem.errors import LinkSpecError, ShapingError
from netem.impairments import UNIMPAIRED
from netem.interfaces import Backend, End
from netem.link import LinkSpec
from netem.namespaces import Sandbox, Where
from netem.plan import INTERFACES, MIDDLE_INTERFACES, ends, planned_commands
from netem.probe import LinkReport, check, probe
from netem.readback import kernel_state, require_parameters
from netem.relay_client import RelayClient
from netem.units import microseconds, milliseconds

__all__ = ["AppliedLink", "apply", "change", "choose_backend", "planned_commands", "restore", "verify"]

_NO_IPV6 = {"net.ipv6.conf.all.disable_ipv6": "1"}


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
        compensation_ms: the path's own one-way latency, taken off the delay (see ``netem.calibration``).
        netlink_ms: what netlink and sysctls took: setting both ends up and reading back, without starting a relay,
            proving the TCP policy and calibrating.
        netlink_steps_ms: the same by step: ``device``, ``edge``, ``middle`` (the relay's interfaces), ``read_back``.
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
    compensation_ms: float = 0.0
    netlink_ms: float = 0.0
    netlink_steps_ms: dict[str, float] = field(default_factory=dict)
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
        calibrate: whether to measure the path's own latency and take it off the delay (a third of a second).
        allow_no_delay: let ``rate-only`` leave out a delay that the spec asks for; the result then says so.

    Raises:
        CapabilityError: this host cannot do it.
        ShapingError: the kernel did not take, or did not keep, what was asked for.
    """
    chosen = backend or choose_backend()
    require_qdiscs(chosen)
    notes = left_out(spec, allow_no_delay) if chosen == "rate-only" else ()
    if sandbox.call("device", lambda: interfaces.exists(INTERFACES["device"])):
        raise ShapingError("this sandbox has a link already: one link a sandbox; change it, or restore it first")
    # Nothing may be lost while the TCP policy is proved and the path calibrated.
    plain = replace(spec, impairments_up=UNIMPAIRED, impairments_down=UNIMPAIRED)
    with _undone_on_error(sandbox) as made:
        bare = AppliedLink(chosen, dict(INTERFACES), spec.mtu, {}, {}, {}, {}, notes=notes, spec=plain)
        applied = _set_up(sandbox, plain, bare)
        if chosen == "relay":
            middle = (MIDDLE_INTERFACES["device"], MIDDLE_INTERFACES["edge"])
            made.append(RelayClient(sandbox, middle, relay_cpu, plain))
            applied = replace(applied, relay=made[0])
        if calibrate and chosen != "rate-only":
            applied = _calibrated(sandbox, applied)
        in_force = tcp.congestion_control_in_force(sandbox)
        tcp.require_policy(spec, in_force)
        applied = change(sandbox, replace(applied, congestion_control=in_force), spec)
        if applied.relay is not None:
            applied.relay.reset()
        return applied


def _calibrated(sandbox: Sandbox, applied: AppliedLink) -> AppliedLink:
    spec = _spec_of(applied)
    found_us = latency_us(sandbox, spec, lambda known: change(sandbox, applied, known, read_back=False))
    calibrated = replace(applied, compensation_ms=milliseconds(found_us))
    return change(sandbox, calibrated, spec, read_back=False)


def _set_up(sandbox: Sandbox, spec: LinkSpec, applied: AppliedLink) -> AppliedLink:
    before: dict[Where, dict[str, str]] = {}
    sysctls: dict[Where, dict[str, str]] = {}
    values = tcp.sysctl_values(spec)
    steps_ms: dict[str, float] = {}
    if applied.backend == "relay":
        with _timed(steps_ms, "middle"):
            sandbox.call(
                "middle", lambda: tcp.set_sysctls(_NO_IPV6)
            )  # the relay's interfaces must not speak themselves
    for end, where in ends(spec):
        peer = _other_end(sandbox, where, applied.backend)

        def configure(end: End = end, peer: tuple[str, str] | None = peer) -> tuple[dict[str, str], dict[str, str]]:
            found = tcp.set_sysctls(values)
            interfaces.configure(end, applied.backend, peer)
            return found

        with _timed(steps_ms, where):
            before[where], sysctls[where] = sandbox.call(where, configure)
    if applied.backend == "relay":
        with _timed(steps_ms, "middle"):
            sandbox.call("middle", lambda: interfaces.raise_relay_ends(list(MIDDLE_INTERFACES.values()), spec.mtu))
    return replace(applied, sysctls=sysctls, sysctls_before=before, netlink_steps_ms=steps_ms)


def _other_end(sandbox: Sandbox, where: Where, backend: Backend) -> tuple[str, str] | None:
    """Name and namespace of the veth end that is made together with the one here; None where that is there already."""
    if backend == "relay":
        return MIDDLE_INTERFACES[where], sandbox.netns("middle")
    return (INTERFACES["edge"], sandbox.netns("edge")) if where == "device" else None


@contextmanager
def _timed(steps_ms: dict[str, float], step: str) -> Iterator[None]:
    started_s = time.perf_counter()
    yield
    steps_ms[step] = steps_ms.get(step, 0.0) + (time.perf_counter() - started_s) * 1e3


def change(sandbox: Sandbox, applied: AppliedLink, spec: LinkSpec, *, read_back: bool = True) -> AppliedLink:
    """Make the link another one in place: at no moment is it unlimited, and every attribute is sent again.

    Packets on their way keep their delay; packets in the queue leave at the new rate, and the bucket keeps its level.
    ``read_back`` false saves the milliseconds of asking the kernel what it now has (the relay's answer is checked
    anyway). The relay's random numbers go on; those of a kernel that takes a seed (Linux 6.6) begin anew.

    Raises:
        LinkSpecError: MTU, TCP policy or a delay without a backend for it cannot be changed in place.
        ShapingError: the kernel did not take, or did not keep, what was asked for.
    """
    old = applied.spec
    if old is None or (old.mtu, old.tcp) != (spec.mtu, spec.tcp):
        raise LinkSpecError("mtu and tcp cannot be changed in place: restore the link, then apply the new one")
    notes = left_out(spec, bool(applied.notes)) if applied.backend == "rate-only" else applied.notes
    compensation_us = microseconds(applied.compensation_ms)
    if applied.relay is not None:
        require_parameters(spec, compensation_us, applied.relay.change(spec, compensation_us))
    else:
        for end, where in ends(spec, compensation_us):
            sandbox.call(where, lambda end=end: interfaces.reshape(end, applied.backend))  # type: ignore[misc]
    changed = replace(applied, spec=spec, notes=notes)
    return _read_back(sandbox, changed) if read_back else changed


def verify(sandbox: Sandbox, applied: AppliedLink, tolerance: float = 0.03, **cpus: int | None) -> LinkReport:
    """Read the kernel back, probe the path, and hold both against what was asked for.

    Args:
        sandbox, applied: the link.
        tolerance: allowed relative error (see ``netem.probe.check``).
        cpus: ``device_cpu`` and ``edge_cpu`` of ``netem.probe.probe``.

    Raises:
        ShapingError: the kernel or the relay reports something else than what was set.
        ProbeError: the link does not give what was asked for.
    """
    spec = _spec_of(applied)
    report = probe(sandbox, spec, _read_back(sandbox, applied), **cpus)
    check(report, tolerance)
    return report


def _read_back(sandbox: Sandbox, applied: AppliedLink) -> AppliedLink:
    spec, compensation_us = _spec_of(applied), microseconds(applied.compensation_ms)
    steps_ms = {name: took for name, took in applied.netlink_steps_ms.items() if name != "read_back"}
    with _timed(steps_ms, "read_back"):
        found = kernel_state(sandbox, spec, applied.backend, compensation_us)
    applied = replace(
        applied,
        qdiscs=found.qdiscs,
        offloads=found.offloads,
        notes=tuple(dict.fromkeys((*applied.notes, *found.notes))),
        netlink_ms=sum(steps_ms.values()),
        netlink_steps_ms=steps_ms,
    )
    if applied.relay is None:
        return applied
    state = applied.relay.statistics()
    require_parameters(spec, compensation_us, state)
    return replace(applied, relay_cpus=state["cpus"], relay_scheduling=state["scheduling"])


def _spec_of(applied: AppliedLink) -> LinkSpec:
    if applied.spec is None:
        raise LinkSpecError("this link was not applied from a spec: apply one")
    return applied.spec


def restore(sandbox: Sandbox, applied: AppliedLink) -> None:
    """Take the link away and put back what was there before ``apply``: no interface, the old sysctls."""
    if applied.relay is not None:
        applied.relay.close()
    _remove(sandbox)
    for where, values in applied.sysctls_before.items():
        sandbox.call(where, lambda values=values: tcp.set_sysctls(values))  # type: ignore[misc]


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
