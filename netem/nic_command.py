"""A named interface of this host as a link: ``python -m netem nic apply | restore | hold``.

    python -m netem nic apply --interface eth0 --peer 192.168.1.10 --rate 57mbit --rtt 28ms
    python -m netem nic restore --interface eth0

``apply`` leaves the interface shaped until ``restore``. ``hold`` shapes it for as long as somebody renews its lease: it
reads lines from standard input, restores the interface when none came within ``--lease``, when the input ends, and on
SIGTERM, SIGINT and SIGHUP. It answers each line with a line of JSON: an empty line, which only renews, with nothing;
``{"link": {...}}`` (the fields of ``LinkSpec``) changes the link in place; ``{"read": true}`` asks what is in force.
Its first line says what was put in force, or ``{"error": ...}``.
"""

import argparse
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netem.arguments import add_link_options, link_of
from netem.errors import LinkSpecError, NetemError
from netem.impairments import GilbertElliott, Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.nic_journal import FOLDER
from netem.units import parse_duration_ms

if TYPE_CHECKING:
    from netem.nic_link import AppliedNic, NicLink

_LARGEST_LINE_BYTES = 65_536
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Ended(Exception):
    """A signal asks this process to restore and end."""


def add_to(verbs: Any) -> None:
    """Add the verb ``nic`` to the parser of ``python -m netem``."""
    parser = verbs.add_parser("nic", help="shape a named interface of this host, to and from one peer")
    actions = parser.add_subparsers(required=True, metavar="apply | restore | hold")
    apply = actions.add_parser("apply", help="shape it until it is restored")
    hold = actions.add_parser("hold", help="shape it as long as lines come on standard input")
    for action, verb in ((apply, _apply), (hold, _hold)):
        action.add_argument("--interface", required=True, metavar="NAME")
        action.add_argument("--peer", required=True, metavar="ADDRESS", help="IPv4 address whose packets are shaped")
        action.add_argument(
            "--exempt-port",
            type=int,
            action="append",
            default=[],
            metavar="PORT",
            help="TCP port that is never shaped, beside ssh's 22; may be repeated",
        )
        action.add_argument("--replace", action="store_true", help="take somebody's own qdiscs off, and put them back")
        add_link_options(action)
        action.set_defaults(verb=verb)
    hold.add_argument("--lease", default="10s", metavar="TIME", help="how long without a line (default 10s)")
    restore = actions.add_parser("restore", help="put back what was there before")
    restore.add_argument("--interface", required=True, metavar="NAME")
    restore.set_defaults(verb=_restore)
    for action in (apply, hold, restore):
        action.add_argument("--journal", type=Path, default=FOLDER, metavar="FOLDER", help=f"default {FOLDER}")
        action.set_defaults(needs_namespaces=False)


def _apply(options: argparse.Namespace) -> int:
    from netem.nic import apply

    applied = apply(_nic(options), **_permitted(options))
    for note in applied.notes:
        print(f"netem: {note}", file=sys.stderr)
    print(f"{applied.interface} is shaped towards {applied.peer} ({applied.backend}); what it was: {applied.journal}")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from netem.nic import restore

    done = restore(options.interface, journals=options.journal)
    print(f"{options.interface} is as it was" if done else f"{options.interface} was not shaped: nothing to restore")
    return 0


def _hold(options: argparse.Namespace) -> int:
    from netem.nic import keeping

    lease_s = parse_duration_ms(options.lease) / 1e3
    for number in _SIGNALS:
        signal.signal(number, _end)
    try:
        nic = _nic(options)
        with suppress(_Ended), keeping(nic, **_permitted(options)) as applied:
            _say(applied.as_dict())
            _serve(applied, lease_s)
    except NetemError as error:
        _say({"error": str(error), "kind": type(error).__name__})
        raise
    return 0


def _serve(applied: "AppliedNic", lease_s: float) -> None:
    """Answer lines until none comes in time or no more can come."""
    from netem.nic import change, observe

    source, buffered = sys.stdin.fileno(), b""
    deadline = time.monotonic() + lease_s
    while True:
        if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
            print(f"netem: nobody renewed the lease of {lease_s:g} s", file=sys.stderr)
            return
        if not (data := os.read(source, _LARGEST_LINE_BYTES)):
            return
        deadline = time.monotonic() + lease_s
        *lines, buffered = (buffered + data).split(b"\n")
        for line in filter(None, map(bytes.strip, lines)):
            try:
                asked = json.loads(line)
                if "link" in asked:
                    applied = change(applied, link_from_dict(asked["link"]))
                _say((applied if "link" in asked else observe(applied)).as_dict())
            except (NetemError, ValueError, TypeError, KeyError) as error:
                _say({"error": str(error), "kind": type(error).__name__})


def link_from_dict(record: dict[str, Any]) -> LinkSpec:
    """The inverse of ``dataclasses.asdict`` of a link.

    Raises:
        LinkSpecError: a value is out of range.
        TypeError, KeyError: it is none.
    """
    ways = {}
    for name in ("impairments_up", "impairments_down"):
        own = dict(record[name])
        if isinstance(own["loss"], dict):
            own["loss"] = GilbertElliott(**own["loss"])
        ways[name] = Impairments(**own)
    return LinkSpec(**{**record, **ways, "tcp": TcpPolicy(**record["tcp"])})


def _nic(options: argparse.Namespace) -> "NicLink":
    from netem.nic_link import SSH_PORT, NicLink

    exempt = tuple(dict.fromkeys((SSH_PORT, *options.exempt_port)))
    return NicLink(options.interface, options.peer, link_of(options), exempt)


def _permitted(options: argparse.Namespace) -> dict[str, Any]:
    if options.backend == "relay":
        raise LinkSpecError(
            "the backend relay stands between two namespaces: allowed for an interface are netem and rate-only"
        )
    return {
        "replace_foreign": options.replace,
        "allow_no_delay": options.allow_no_delay,
        "backend": options.backend,
        "journals": options.journal,
    }


def _say(record: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # nobody listens any more: the input's end says the same
        print(json.dumps(record), flush=True)


def _end(_number: int, _frame: object) -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # what is being restored is restored to the end
    raise _Ended
