"""The link as a command: ``python -m netem exec | plan | check | capabilities | nic``.

    python -m netem exec --rate 57mbit --rtt 28ms --edge 'iperf3 -s -1' -- sh -c 'sleep 1; iperf3 -c $NETEM_EDGE'

``exec`` runs one command in each namespace. NETEM_EDGE and NETEM_DEVICE, the two addresses, are in both
environments. The edge's command is split like a shell would but run without one; its output goes to standard error,
the device's to standard output, and the device's exit code is returned. Other exit codes: 2 for a link that is
impossible, 1 for one that could not be made, or, with ``check``, is not the one asked for. ``nic`` shapes an interface
of this host (``netem.nic_command``).
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netem import nic_command
from netem.arguments import add_link_options, link_of
from netem.errors import LinkSpecError, NetemError
from netem.namespaces import Sandbox
from netem.probe import check, probe
from netem.rootless import become_root_inside

if TYPE_CHECKING:
    from netem.shaper import AppliedLink

_LATE_MS = 1.0
_EDGE_GRACE_S = 1.0
"""For an edge that ends by itself (``iperf3 -s -1``) to print its last lines."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code (see the top of this module)."""
    options = _parser().parse_args(argv)
    try:
        if options.needs_namespaces:
            become_root_inside()
        code: int = options.verb(options)
        return code
    except LinkSpecError as error:
        print(f"netem: {error}", file=sys.stderr)
        return 2
    except NetemError as error:
        print(f"netem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _exec(options: argparse.Namespace) -> int:
    from netem.shaper import apply
    from netem.trace import Trace, TraceReplay

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise LinkSpecError("no command was given: write it behind --, for example -- ping -c 3 198.18.0.2")
    edge_command = _split(options.edge)
    spec = link_of(options)
    trace = Trace.read(options.trace) if options.trace else None
    with Sandbox() as sandbox:
        applied = apply(
            sandbox, spec, backend=options.backend, relay_cpu=options.relay_cpu, allow_no_delay=options.allow_no_delay
        )
        for note in applied.notes:
            print(f"netem: {note}", file=sys.stderr)
        environment = {
            **os.environ,
            "NETEM_EDGE": sandbox.address("edge"),
            "NETEM_DEVICE": sandbox.address("device"),
        }
        edge = None
        if edge_command:
            edge = sandbox.popen(
                "edge", edge_command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()
            )
        device = sandbox.popen("device", command, env=environment)
        if trace is None:
            code = device.wait()
        else:
            with TraceReplay(sandbox, applied, trace, loop=options.trace_loop):
                code = device.wait()
        if edge is not None:
            try:
                edge.wait(_EDGE_GRACE_S)
            except subprocess.TimeoutExpired:
                edge.terminate()
        _tell_of_the_relay(applied)
        return code if code >= 0 else 128 - code  # as a shell reports a command ended by a signal


def _tell_of_the_relay(applied: "AppliedLink") -> None:
    """One line if the relay was later than it should be, or lost what the spec did not."""
    if (state := applied.relay_statistics()) is None:
        return
    late_ms = max(state[way]["lateness_p99_ms"] for way in ("up", "down"))
    drops = sum(state[way]["drops"] for way in ("up", "down"))
    if late_ms > _LATE_MS or drops:
        print(
            f"netem: the relay was late by {late_ms:.2f} ms (p99; {_LATE_MS:g} is allowed) and lost {drops} packets: "
            "leave a core idle for it (--relay-cpu), or ask for a slower link",
            file=sys.stderr,
        )


def _plan(options: argparse.Namespace) -> int:
    from netem.shaper import choose_backend, planned_commands

    print("\n".join(planned_commands(link_of(options), options.backend or choose_backend())))
    return 0


def _check(options: argparse.Namespace) -> int:
    from netem.shaper import apply

    spec = link_of(options)
    with Sandbox() as sandbox:
        applied = apply(
            sandbox, spec, backend=options.backend, relay_cpu=options.relay_cpu, allow_no_delay=options.allow_no_delay
        )
        report = probe(sandbox, spec, applied)
        found: dict[str, Any] = {"link": applied.as_dict(), "probe": report.as_dict()}
        found["relay"] = applied.relay_statistics()
    if options.json:
        print(json.dumps(found))
    else:
        print(f"backend {report.backend}, set up in {applied.netlink_ms:.1f} ms, TCP {report.congestion_control}")
        for name, asked in report.requested.items():
            got = report.achieved[name]
            print(f"{name:16} asked {asked:9.3f}   measured " + ("not measured" if got is None else f"{got:9.3f}"))
        print(f"{'rtt_ms p99':16} {'':15}   measured {report.rtt_p99_ms:9.3f}")
        if report.relay_lateness_p99_ms is not None:
            print(f"relay: lateness p99 {report.relay_lateness_p99_ms:.2f} ms, drops {report.relay_drops}")
        for note in (*applied.notes, *report.notes):
            print(f"note: {note}")
    check(report, options.tolerance)
    return 0


def _capabilities(options: argparse.Namespace) -> int:
    from netem.capabilities import report

    found = report()
    if options.json:
        print(json.dumps([vars(capability) for capability in found]))
    else:
        for capability in found:
            print(f"{capability.name:16} {'yes' if capability.available else 'no ':3}  {capability.detail}")
    return 0


def _split(text: str | None) -> list[str]:
    try:
        return shlex.split(text) if text else []
    except ValueError as error:
        raise LinkSpecError(f"--edge {text!r} cannot be split into words: {error}; close the quotes") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m netem", description=__doc__.split("\n")[0])
    parser.set_defaults(needs_namespaces=True)
    verbs = parser.add_subparsers(required=True, metavar="exec | plan | check | capabilities | nic")
    run = verbs.add_parser("exec", help="run one command at each end of a link")
    add_link_options(run)
    run.add_argument("--edge", metavar="COMMAND", help="command at the edge, one quoted argument")
    run.add_argument("--trace", type=Path, metavar="FILE", help="replay a trace (mahimahi or CSV) on the link")
    run.add_argument("--trace-loop", action="store_true", help="begin the trace again at its end")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="command at the device")
    run.set_defaults(verb=_exec)
    plan = verbs.add_parser("plan", help="print the ip and tc lines of a link")
    add_link_options(plan)
    plan.set_defaults(verb=_plan, needs_namespaces=False)
    verify = verbs.add_parser("check", help="make a link, measure it, and say whether it is the one asked for")
    add_link_options(verify)
    verify.add_argument("--tolerance", type=float, default=0.01, help="allowed relative error (default 0.01)")
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(verb=_check)
    host = verbs.add_parser("capabilities", help="what this host can do, what not, and why")
    host.add_argument("--json", action="store_true")
    host.set_defaults(verb=_capabilities)
    nic_command.add_to(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
