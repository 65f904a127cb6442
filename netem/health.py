"""Whether a link still carries. Asked when something that crosses it did not come back, never while it is timed."""

import socket
from typing import TYPE_CHECKING, Any

from netem import interfaces, linux
from netem.calibration import ping_ms
from netem.errors import ShapingError
from netem.namespaces import Sandbox, Where

if TYPE_CHECKING:
    from netem.shaper import AppliedLink

_ECHOES = 3
"""One that comes back is enough: a link may be meant to lose packets."""

_PATIENCE_S = 2.0
"""Beyond the round trip that was asked for."""


def require_carrying(sandbox: Sandbox, applied: "AppliedLink", *, echo: bool = True) -> None:
    """Raise ShapingError, saying what is wrong, unless the link is there as it was set up and carries an echo.

    Args:
        sandbox, applied: the link.
        echo: whether to send some. On a slow link they wait behind what is on its way, and may then be missed though
            nothing is wrong; without them nothing is put on the link.
    """
    try:
        if applied.relay is not None:
            applied.relay.statistics()
        for where in applied.interfaces:
            _require_end(sandbox, applied, where)
        if echo:
            _require_echo(sandbox, applied)
    except OSError as error:
        raise ShapingError(f"the link cannot be looked at: {error}; has its sandbox ended?") from error


def kinds(qdiscs: list[dict[str, Any]]) -> str:
    """The names of an interface's qdiscs, root first. A trace changes their parameters, and nothing changes these."""
    return ", ".join(str(qdisc["kind"]) for qdisc in qdiscs) or "none"


def _require_end(sandbox: Sandbox, applied: "AppliedLink", where: Where) -> None:
    interface = applied.interfaces[where]
    up, found = sandbox.call(
        where, lambda: (interfaces.exists(interface) and linux.is_up(interface), interfaces.qdiscs(interface))
    )
    if not up:
        raise ShapingError(f"the link is down: somebody has taken down {interface} of the {where} namespace")
    now, before = kinds(found), kinds(applied.qdiscs.get(where, []))
    if now != before:
        raise ShapingError(
            f"the link is another one by now: the qdiscs of {interface} ({where}) were {before} and are {now}; "
            "another program changes it"
        )


def _require_echo(sandbox: Sandbox, applied: "AppliedLink") -> None:
    rtt_ms = 0.0 if applied.spec is None else applied.spec.rtt_ms
    patience_s = rtt_ms / 1e3 + _PATIENCE_S
    reason = ""
    with sandbox.call("device", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)) as sock:
        sock.settimeout(patience_s)
        for sequence in range(_ECHOES):
            try:
                sock.connect((sandbox.address("edge"), 0))
                ping_ms(sock, sequence)
                return
            except ShapingError:  # it did not come back in time
                continue
            except OSError as error:
                reason = f" ({error.strerror})"
    raise ShapingError(
        f"nothing comes back over the link: none of {_ECHOES} echoes within {patience_s:g} s each{reason}; it carries "
        "nothing, or far less than it was set up for"
    )
