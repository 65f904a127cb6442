"""Puts an interface back as its journal says, step by step: a step that fails does not keep the others from being
done, and the journal stays until all are."""

import socket
from collections.abc import Callable, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from netem import interfaces, nic_foreign, nic_tcp, nic_tree
from netem.errors import NetemError, ShapingError
from netem.nic_foreign import Piece
from netem.nic_journal import Journal

Step = tuple[str, Callable[[], object]]


def undo(journal: Journal) -> bool:
    """Restore; False where there is no journal.

    Raises:
        ShapingError: a step failed, and which; the journal stays.
    """
    record = journal.read()
    if record is None:
        return False
    with interfaces.netlink(f"restore {record['interface']}") as ip:
        steps = _steps_there(ip, record) if _is_there(record) else _steps_gone(ip, record)
        failed = [f"{name}: {reason}" for name, step in steps if (reason := _tried(step)) is not None]
    if failed:
        raise ShapingError(
            f"{record['interface']} is not as before ({'; '.join(failed)}): what it was is in {journal.path}; "
            "try `python -m netem nic restore` again, or restore it by tc"
        )
    journal.remove()
    return True


def _is_there(record: dict[str, Any]) -> bool:
    """Whether the interface is still the one that was shaped: one that comes back has another number."""
    try:
        return bool(socket.if_nametoindex(record["interface"]) == record["index"])
    except OSError:
        return False


def _steps_there(ip: IPRoute, record: dict[str, Any]) -> list[Step]:
    index, foreign = record["index"], [Piece.from_dict(piece) for piece in record["foreign"]]
    own_root = any(piece.handle == nic_tree.OWN_ROOT for piece in nic_foreign.pieces(index))
    # Somebody's own ingress qdisc was taken off before ours was put on: until then, it is not ours.
    own_ingress = bool(record["cleared"])
    return [
        ("qdiscs", lambda: nic_tree.take_off(ip, index, root=own_root, ingress=own_ingress)),
        ("TCP settings", lambda: nic_tcp.put_back(ip, record["tcp"])),
        ("gso_max_segs", lambda: ip.link("set", index=index, gso_max_segs=record["gso_max_segs"])),
        ("GRO", lambda: _glue(record)),
        ("the former qdiscs", lambda: nic_foreign.put_back(index, _missing(index, foreign))),
    ]


def _glue(record: dict[str, Any]) -> None:
    """Raises ShapingError where GRO was on and is not any more."""
    if record.get("gro") and not interfaces.set_gro(record["interface"], True):
        raise ShapingError(f"it cannot be switched on again: ethtool -K {record['interface']} gro on")


def _steps_gone(ip: IPRoute, record: dict[str, Any]) -> list[Step]:
    """The interface took with it what was on it, but not what stands beside it."""
    return [
        ("ifb", lambda: nic_tree.remove_ifb(ip, record["index"])),
        ("TCP settings", lambda: nic_tcp.put_back_sysctl(record["tcp"])),
    ]


def clear(ip: IPRoute, index: int, foreign: Sequence[Piece]) -> None:
    """Take off what somebody else put on an interface, or an older process of ours without a journal."""
    own = [piece for piece in nic_foreign.pieces(index) if piece.handle == nic_tree.OWN_ROOT]
    nic_tree.take_off(ip, index, root=bool(own), ingress=bool(own))
    for piece in foreign:
        if piece.what == "qdisc" and piece.parent == 0xFFFFFFFF:
            ip.tc("del", index=index, handle=piece.handle, parent=piece.parent)
        elif piece.what == "qdisc" and piece.side == "ingress":
            ip.tc("del", piece.kind, index)


def _missing(index: int, foreign: Sequence[Piece]) -> list[Piece]:
    """What is to be put back: all of a side of which something is missing, nothing of one that was never cleared."""
    there = {piece.place for piece in nic_foreign.pieces(index)}
    gone = {piece.side for piece in foreign if piece.place not in there}
    return [piece for piece in foreign if piece.side in gone]


def _tried(step: Callable[[], object]) -> str | None:
    try:
        step()
    except (NetemError, NetlinkError, OSError) as error:
        return str(error)
    return None
