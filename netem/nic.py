"""Shapes what passes a named interface of this host to and from one peer, and puts everything back.

    with keeping(NicLink("eth0", "192.168.1.10", LinkSpec.parse("57mbit", "28ms"))) as nic:
        ...

An interface that carries other things is not a sandbox: only packets of the peer are touched, and of those not ssh's;
somebody's own qdiscs are never flushed, but refused by name, or, where that is asked for, taken off and put back; what
was there before is on disk (``netem.nic_journal``) before anything is changed.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from netem import interfaces, nic_restore, nic_survey, nic_tcp, nic_tree
from netem.backends import missing_qdiscs
from netem.errors import CapabilityError, LinkSpecError, ShapingError
from netem.interfaces import Backend
from netem.link import LinkSpec
from netem.namespaces import in_network_namespace
from netem.nic_journal import FOLDER, Journal
from netem.nic_link import AppliedNic, NicLink, ways_of
from netem.nic_tree import OWN_ROOT, Ingress, Ways
from netem.readback import require_qdiscs

__all__ = ["AppliedNic", "NicLink", "apply", "change", "keeping", "observe", "restore"]


@contextmanager
def keeping(
    nic: NicLink,
    *,
    replace_foreign: bool = False,
    allow_no_delay: bool = False,
    backend: Backend | None = None,
    journals: Path = FOLDER,
) -> Iterator[AppliedNic]:
    """Shape while entered, and restore on leaving. Arguments and errors as for ``apply``."""
    journal = Journal(nic.interface, journals)
    with journal.held():
        applied = _apply(nic, journal, replace_foreign, allow_no_delay, backend, None)
        try:
            yield applied
        finally:
            nic_restore.undo(journal)


def apply(
    nic: NicLink,
    *,
    replace_foreign: bool = False,
    allow_no_delay: bool = False,
    backend: Backend | None = None,
    ingress: Ingress | None = None,
    journals: Path = FOLDER,
) -> AppliedNic:
    """Shape, and leave it so until ``restore``.

    Args:
        nic: what is asked for.
        replace_foreign: take somebody's own qdiscs off, and put them back when restoring.
        allow_no_delay: where this kernel has no ``sch_netem``, hold the rate alone; the result says so.
        backend, ingress: which; None takes the best that this kernel has.
        journals: folder of the journals.

    Raises:
        LinkSpecError: the peer is not reached through that interface.
        CapabilityError: this kernel cannot make the link, or this process may not.
        ShapingError: somebody else's qdiscs stand there, another process shapes it, or the kernel did not take, or
            did not keep, what was asked for.
    """
    journal = Journal(nic.interface, journals)
    with journal.held():
        return _apply(nic, journal, replace_foreign, allow_no_delay, backend, ingress)


def change(applied: AppliedNic, link: LinkSpec) -> AppliedNic:
    """Make the link another one in place.

    Raises:
        LinkSpecError: MTU, TCP policy, or a limit that act_police holds cannot be changed in place.
        CapabilityError: jitter, loss or the like that this kernel cannot make.
        ShapingError: the kernel did not take, or did not keep, it.
    """
    nic = applied.nic
    if nic is None or (nic.link.mtu, nic.link.tcp) != (link.mtu, link.tcp):
        raise LinkSpecError("mtu and tcp cannot be changed in place: restore the interface, then apply the new link")
    asked = (link.rate_down_mbps, link.burst_bytes)
    if applied.ingress == "police" and asked != (nic.link.rate_down_mbps, nic.link.burst_bytes):
        raise LinkSpecError(
            "where there is no ifb, the rate and the burst of what comes in cannot be changed in place: restore the "
            "interface, then apply the new link"
        )
    if applied.backend == "rate-only" and not (link.impairments_up.none and link.impairments_down.none):
        raise CapabilityError("the backend rate-only makes no jitter, loss or the like: this kernel has no sch_netem")
    nic_survey.require_impairments(link, applied.backend, applied.ingress)
    ways = ways_of(replace(nic, link=link), applied.backend, applied.ingress, applied.path_rtt_ms or 0.0)
    with interfaces.netlink(f"change {nic.interface}") as ip:
        nic_tree.reshape(ip, interfaces.index_of(nic.interface), ways, applied.backend, applied.ingress)
    changed = replace(applied, nic=replace(nic, link=link))
    return replace(changed, qdiscs=_read_back(changed, ways))


def observe(applied: AppliedNic) -> AppliedNic:
    """What the kernel reports now, whoever put it there since.

    Raises:
        ShapingError: the interface is gone.
    """
    found = {"egress": interfaces.qdiscs(applied.interface)}
    if applied.ingress == "ifb":
        found["ingress"] = interfaces.qdiscs(nic_tree.ifb_name(interfaces.index_of(applied.interface)))
    return replace(applied, qdiscs=found, sysctls=nic_tcp.sysctls())


def restore(interface: str, *, journals: Path = FOLDER) -> bool:
    """Put back what was there before, from the journal; False where there is nothing to put back.

    Raises:
        ShapingError: a process shapes the interface right now, or the kernel refuses; the journal then stays.
    """
    journal = Journal(interface, journals)
    with journal.held():
        return nic_restore.undo(journal)


def _apply(
    nic: NicLink,
    journal: Journal,
    replace_foreign: bool,
    allow_no_delay: bool,
    wanted: Backend | None,
    ingress: Ingress | None,
) -> AppliedNic:
    notes = ["what a killed process had left was put back first"] if nic_restore.undo(journal) else []
    with interfaces.netlink(f"shape {nic.interface}") as ip:
        index = nic_survey.index_of(nic.interface)
        nic_survey.require_route(ip, nic, index)
        foreign = nic_survey.foreign(nic.interface, index, replace_foreign)
        backend: Backend = wanted or "netem"
        missing = missing_qdiscs(backend)
        if missing and wanted is None:
            backend = "rate-only"
            missing = missing_qdiscs(backend)
        if missing:
            raise CapabilityError(
                f"this kernel has no {' and no '.join(missing)}, which the backend {backend} needs: load the module "
                "(modprobe); allowed for an interface are netem and rate-only"
            )
        notes += nic_survey.left_out(nic.link, backend, allow_no_delay)
        path_rtt_ms = nic_survey.path_rtt_ms(nic.peer)
        mtu, segments = nic_survey.shape_of(ip, index)
        notes += nic_survey.differences(nic, path_rtt_ms, mtu)
        tcp = nic_tcp.planned(ip, nic.peer, nic.link.tcp)
        before = AppliedNic(
            *(nic.interface, nic.peer, backend, ingress or "none", path_rtt_ms, mtu, {}, {}, ""),
            *(str(journal.path), tuple(notes), nic),
        )
        record: dict[str, Any] = {
            "interface": nic.interface,
            "index": index,
            "foreign": [piece.as_dict() for piece in foreign],
            "cleared": False,
            "gso_max_segs": segments,
            "gro": interfaces.offloads(nic.interface).get("gro", False),
            "tcp": tcp.before(),
        }
        journal.write(record)
        try:
            nic_restore.clear(ip, index, foreign)
            journal.write(record | {"cleared": True})
            return _put_on(ip, index, before, ingress, tcp)
        except BaseException:
            nic_restore.undo(journal)
            raise


def _put_on(ip: IPRoute, index: int, before: AppliedNic, wanted: Ingress | None, tcp: nic_tcp.Planned) -> AppliedNic:
    """Everything that shapes, on an interface that has the kernel's defaults."""
    nic = before.nic
    if nic is None:
        raise ShapingError("nothing was asked for")
    ingress, notes = _ingress(ip, index, nic, wanted)
    nic_survey.require_impairments(nic.link, before.backend, ingress)
    ways = ways_of(nic, before.backend, ingress, before.path_rtt_ms or 0.0)
    # One segment at most: htb must see the frames that the link carries, not what offload glues together. The ingress
    # hook comes after GRO, so that a limit there would meet packets larger than its bucket.
    ip.link("set", index=index, gso_max_segs=1)
    if interfaces.offloads(nic.interface).get("gro") and not interfaces.set_gro(nic.interface, False):
        notes.append("GRO cannot be switched off: what comes in is shaped as the packets that it is glued to")
    notes += tcp.put(ip)
    nic_tree.build(ip, index, ways, before.backend, ingress)
    applied = replace(
        before,
        ingress=ingress,
        sysctls=nic_tcp.sysctls(),
        congestion_control=tcp.in_force(),
        notes=(*before.notes, *notes),
    )
    return replace(applied, qdiscs=_read_back(applied, ways))


def _ingress(ip: IPRoute, index: int, nic: NicLink, wanted: Ingress | None) -> tuple[Ingress, list[str]]:
    """What can be done about what comes in, and notes on what cannot. Raises ShapingError where it is not as wanted."""
    if wanted in (None, "ifb"):
        if nic_tree.make_ifb(ip, index):
            return "ifb", []
        if wanted == "ifb":
            raise ShapingError("this kernel has no ifb: allowed are police and none")
    late = " and all of the delay stands on the way out" if nic.link.delay_down_ms else ""
    if wanted == "police" or (wanted is None and in_network_namespace(None, _polices)):
        return "police", [f"what comes in too fast is dropped, not queued: there is no ifb{late}"]
    return "none", [f"the rate of what comes in is not limited: there is neither ifb nor act_police{late}"]


def _polices() -> bool:
    with IPRoute() as ip:
        return nic_tree.polices(ip, socket.if_nametoindex("lo"))


def _read_back(applied: AppliedNic, ways: Ways) -> dict[str, list[dict[str, Any]]]:
    """Raises ShapingError where the kernel reports something else than what was set."""
    found = {"egress": interfaces.qdiscs(applied.interface)}
    own = f"{OWN_ROOT >> 16:x}:"
    inner = [qdisc for qdisc in found["egress"] if qdisc["handle"] != own]
    require_qdiscs(ways.up, "out", applied.backend, inner)
    if applied.ingress == "ifb":
        found["ingress"] = interfaces.qdiscs(ways.down.interface)
        require_qdiscs(ways.down, "in", applied.backend, found["ingress"])
    return found
