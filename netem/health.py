"""Whether a link still carries. Asked when something that crosses it did not come back, never while it is timed."""

import math
from typing import TYPE_CHECKING, Any

from netem import interfaces, linux
from netem.echo import echo_ms, icmp_socket
from netem.errors import ShapingError
from netem.link import LinkSpec
from netem.namespaces import Sandbox, Where

if TYPE_CHECKING:
    from netem.shaper import AppliedLink

_ECHOES, _MOST_ECHOES, _ALL_LOST = 3, 20, 1e-3
"""One that comes back is enough. A link that is meant to lose packets gets so many that it loses all of them once in a
thousand times, or the most."""

_PATIENCE_S = 2.0
"""Beyond the round trip that was asked for."""

_LONGEST_DRAIN_S = 60.0
"""The first echo may have a full queue before it."""


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
    spec = applied.spec
    rtt_ms = 0.0 if spec is None else spec.rtt_ms
    drain_s = 0.0 if spec is None else min(_LONGEST_DRAIN_S, spec.queue_limit_bytes * 8 / (spec.rate_up_mbps * 1e6))
    patience_s, reason = rtt_ms / 1e3 + _PATIENCE_S, ""
    echoes = _ECHOES if spec is None else _echoes(spec)
    with sandbox.call("device", icmp_socket) as sock:
        for sequence in range(echoes):
            try:
                sock.connect((sandbox.address("edge"), 0))
                echo_ms(sock, sequence, patience_s + (0.0 if sequence else drain_s))
                return
            except ShapingError:  # it did not come back in time
                continue
            except OSError as error:
                reason = f" ({error.strerror})"
    raise ShapingError(
        f"nothing comes back over the link: none of {echoes} echoes, the first within {patience_s + drain_s:.3g} s, "
        f"the others within {patience_s:.3g} s each{reason}; it carries nothing, or far less than it was set up for"
    )


def _echoes(spec: LinkSpec) -> int:
    """How many are sent before a link counts as dead."""
    kept = (1 - spec.impairments_up.loss_rate) * (1 - spec.impairments_down.loss_rate)
    if kept >= 1:
        return _ECHOES
    return _MOST_ECHOES if kept <= 0 else max(_ECHOES, min(_MOST_ECHOES, math.ceil(math.log(_ALL_LOST, 1 - kept))))
