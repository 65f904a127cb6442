"""Queueing disciplines that somebody else put on an interface, kept as the kernel's own messages (rtnetlink(7)).

What the kernel reports of a qdisc, a class or a filter is, but for counters, what it was told when they were made. So
they can be put back as they were without this package knowing the kinds; whether that works for a given tree is
rehearsed on a throw-away veth before anything is taken away.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from netem.errors import ShapingError
from netem.namespaces import in_network_namespace

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _REPLACE, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x400, 0x300
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_TCMSG = struct.Struct("=B3xiIII")  # struct tcmsg: family, interface, handle, parent, info
_NEW = {"qdisc": 36, "class": 40, "filter": 44}
_GET = {"qdisc": 38, "class": 42, "filter": 46}
_TCA_KIND, _TCA_OPTIONS, _TCA_CHAIN = 1, 2, 11
_TCA_U32_FLAGS = 11
"""Says whether hardware has taken the filter over: a report, which the kernel refuses in a request."""

_TCA_HTB_INIT = 2
"""Begins with the version: in a report also the minor one, in a request the major one alone."""

_TC_H_ROOT, _TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
_INGRESS_PARENTS = (0xFFFF0000, 0xFFFFFFF2, 0xFFFFFFF3)
"""Where filters of an ingress or clsact qdisc hang."""

Side = Literal["egress", "ingress"]


@dataclass(frozen=True)
class Piece:
    """One qdisc, class or filter as the kernel reported it.

    Attributes:
        what: which of the three.
        kind: such as ``htb`` or ``u32``.
        handle, parent, info: the fields of struct tcmsg; ``info`` is a filter's priority and protocol.
        attributes: those that make it what it is, as they go over netlink.
    """

    what: str
    kind: str
    handle: int
    parent: int
    info: int
    attributes: bytes

    @property
    def side(self) -> Side:
        """Whether it stands in the way of what leaves or of what comes in."""
        ingress = self.parent == _TC_H_INGRESS or self.parent in _INGRESS_PARENTS
        return "ingress" if ingress else "egress"

    @property
    def name(self) -> str:
        """Kind and handle, as ``tc`` writes them."""
        major, minor = self.handle >> 16, self.handle & 0xFFFF
        return f"{self.kind} {major:x}:{f'{minor:x}' if minor else ''}"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**vars(self), "attributes": self.attributes.hex()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Piece":
        """The inverse of ``as_dict``."""
        return cls(**{**record, "attributes": bytes.fromhex(record["attributes"])})

    @property
    def place(self) -> tuple[str, str, int, int]:
        """What two reports of the same piece share whatever was counted meanwhile."""
        return self.what, self.kind, self.handle, self.parent


def pieces(index: int) -> list[Piece]:
    """What somebody put on an interface of the calling thread's namespace; nothing where it has the kernel's defaults.

    Qdiscs that the kernel made by itself have no handle and are left out.
    """
    qdiscs = [piece for piece in _dump("qdisc", index) if piece.handle]
    classes = _dump("class", index) if qdiscs else []
    parents = [piece.handle for piece in (*qdiscs, *classes) if piece.side == "egress"]
    if any(piece.side == "ingress" for piece in qdiscs):
        parents += _INGRESS_PARENTS
    filters = {(*piece.place, piece.info): piece for parent in parents for piece in _dump("filter", index, parent)}
    return [*qdiscs, *classes, *(piece for piece in filters.values() if piece.handle and _says_something(piece))]


def put_back(index: int, kept: Sequence[Piece]) -> None:
    """Make qdiscs, classes and filters again, parents first.

    Raises:
        ShapingError: the kernel refuses one of them; says which.
    """
    for piece in _parents_first(kept):
        body = _TCMSG.pack(0, index, piece.handle, piece.parent, piece.info if piece.what == "filter" else 0)
        flags = _ACK | _CREATE | (_REPLACE if piece.what == "qdisc" else 0)
        try:
            list(_ask(_NEW[piece.what], flags, body + piece.attributes))
        except OSError as error:
            raise ShapingError(f"the {piece.what} {piece.name} cannot be put back: {error.strerror}") from error


def rehearse(kept: Sequence[Piece]) -> None:
    """Put a tree on a throw-away veth in a scratch namespace and see that it is the same there.

    Raises:
        ShapingError: it is not, so that it must not be taken away.
        CapabilityError: this process may not make network namespaces.
    """

    def on_a_veth() -> list[Piece]:
        from pyroute2 import IPRoute

        with IPRoute() as ip:
            ip.link("add", ifname="try0", kind="veth", peer={"ifname": "try1"})
            index = ip.link_lookup(ifname="try0")[0]
        put_back(index, kept)
        return pieces(index)

    found = in_network_namespace(None, on_a_veth)
    if {piece.place for piece in found} != {piece.place for piece in kept}:
        raise ShapingError("put on a throw-away interface, it does not come out the same")


def _parents_first(kept: Sequence[Piece]) -> Iterator[Piece]:
    yield from (piece for piece in kept if piece.what == "qdisc" and piece.parent in (_TC_H_ROOT, _TC_H_INGRESS))
    waiting = [piece for piece in kept if piece.what != "filter" and piece.parent not in (_TC_H_ROOT, _TC_H_INGRESS)]
    # A class at the top says that its parent is the root; it stands in the qdisc of its handle's major part.
    waiting += [piece for piece in kept if piece.what == "class" and piece.parent == _TC_H_ROOT]
    known = {piece.handle for piece in kept if piece.parent in (_TC_H_ROOT, _TC_H_INGRESS) and piece.what == "qdisc"}
    while waiting:
        ready = [
            piece
            for piece in waiting
            if piece.parent in known
            or (piece.parent == _TC_H_ROOT and piece.handle & 0xFFFF0000 in known)
            # Of a qdisc such as prio, the classes are there with it.
            or (piece.what == "qdisc" and piece.parent & 0xFFFF0000 in known and not _has_class(kept, piece.parent))
        ]
        if not ready:
            raise ShapingError(f"{waiting[0].what} {waiting[0].name} hangs on nothing that the kernel reports")
        yield from ready
        known |= {piece.handle for piece in ready}
        waiting = [piece for piece in waiting if piece not in ready]
    yield from (piece for piece in kept if piece.what == "filter")


def _has_class(kept: Sequence[Piece], handle: int) -> bool:
    return any(piece.what == "class" and piece.handle == handle for piece in kept)


def _says_something(piece: Piece) -> bool:
    """Not u32's own tables, which come with its filters."""
    return piece.kind != "u32" or piece.handle & 0xFFF != 0


def _dump(what: str, index: int, parent: int = 0) -> list[Piece]:
    body = _TCMSG.pack(0, index, 0, parent, 0)
    try:
        answers = list(_ask(_GET[what], _DUMP, body))
    except OSError:
        return []  # a qdisc without classes, a class without filters
    found = []
    for payload in answers:
        _, interface, handle, parent_of, info = _TCMSG.unpack_from(payload)
        attributes = dict(_attributes(payload[_TCMSG.size :]))
        if interface != index or _TCA_KIND not in attributes:
            continue
        if what == "class" and _TCA_OPTIONS not in attributes:
            continue  # one that comes with its qdisc, as tbf's and prio's do
        kind = attributes[_TCA_KIND].rstrip(b"\0").decode()
        if _TCA_OPTIONS in attributes:
            attributes[_TCA_OPTIONS] = _as_asked(what, kind, attributes[_TCA_OPTIONS])
        kept = [
            (number, attributes[number]) for number in (_TCA_KIND, _TCA_OPTIONS, _TCA_CHAIN) if number in attributes
        ]
        found.append(Piece(what, kind, handle, parent_of, info, b"".join(_packed(*pair) for pair in kept)))
    return found


def _as_asked(what: str, kind: str, options: bytes) -> bytes:
    """Options as a request has them, where the kernel reports them in another way."""
    if kind == "u32":
        return b"".join(_packed(*pair) for pair in _attributes(options) if pair[0] != _TCA_U32_FLAGS)
    if (what, kind) == ("qdisc", "htb"):
        own = dict(_attributes(options))
        (version,) = struct.unpack_from("=I", own[_TCA_HTB_INIT])
        own[_TCA_HTB_INIT] = struct.pack("=I", version >> 16) + own[_TCA_HTB_INIT][4:]
        return b"".join(_packed(*pair) for pair in own.items())
    return options


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 4 <= len(data):
        length, number = struct.unpack_from("=HH", data, place)
        if length < 4:
            return
        yield number & 0x3FFF, data[place + 4 : place + length]
        place += (length + 3) & ~3


def _packed(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, number) + value + b"\0" * (-len(value) % 4)


def _ask(kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    """Payloads of the answers. Raises OSError with the kernel's reason."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body)
        while True:
            data, place = sock.recv(1 << 20), 0
            while place + _HEADER.size <= len(data):
                length, answer, _, _, _ = _HEADER.unpack_from(data, place)
                payload = data[place + _HEADER.size : place + length]
                place += (length + 3) & ~3
                if answer == _NLMSG_DONE:
                    return
                if answer == _NLMSG_ERROR:
                    (number,) = struct.unpack_from("=i", payload)
                    if number:
                        raise OSError(-number, os.strerror(-number))
                    return
                yield payload
