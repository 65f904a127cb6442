"""What is in force on the link only while a cell measures, and what was still in force afterwards.

Profile and probe run over the plain link: the mean of a trace, no jitter, no loss. So what they find is the host's
and the server's own, and a link that is wrong is told apart from one that is meant to vary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.spec import Spec
from harness.testbed.link import base_link, link_spec, trace_of, trace_path, variability
from netem import interfaces
from netem.impairments import UNIMPAIRED
from netem.link import LinkSpec
from netem.namespaces import Sandbox, Where
from netem.shaper import AppliedLink, change
from netem.trace import TraceReplay

TRACE = "trace.csv"


class Conditions:
    """The link of a cell through its phases.

    Args:
        spec: the cell.

    Attributes:
        plain: over which the cell profiles and probes.

    Raises:
        SpecError: the link is impossible, or its trace cannot be read.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._base = base_link(spec)
        self._trace = trace_of(spec)
        self.plain: LinkSpec = replace(link_spec(spec), impairments_up=UNIMPAIRED, impairments_down=UNIMPAIRED)
        self._record: dict[str, Any] = {}

    @contextmanager
    def in_force(self, sandbox: Sandbox, applied: AppliedLink, folder: Path) -> Iterator[None]:
        """Jitter, loss and the like are in force while entered, and a trace is replayed from now on.

        What was put in force, and when, is in `trace.csv` of `folder` afterwards, also where the body failed.

        Raises:
            NetemError: the kernel or the relay did not take a step.
        """
        start = self._base if self._trace is None else self._trace.steps[0].of(self._base)
        if self._trace is None and start == self.plain:
            yield
            return
        changed = change(sandbox, applied, start)
        self._record["testbed_measuring"] = changed.as_dict()
        if applied.relay is not None:
            applied.relay.reset()  # the same seed then meets the same packets
        if self._trace is None:
            yield
        else:
            replay = TraceReplay(sandbox, applied, self._trace, loop=self._spec.link.loop, base=self._base)
            try:
                with replay:
                    yield
            finally:
                replay.write(folder / TRACE)
                self._record["trace"] = self._described() | replay.as_dict()
        # Counted before the link is plain again.
        self._record["relay"] = applied.relay_statistics()
        change(sandbox, applied, self.plain)

    def aftermath(self, sandbox: Sandbox, applied: AppliedLink) -> dict[str, Any]:
        """The part of `env.json` about the link while and after the cell measured.

        `relay` counts what passed while the conditions were in force, or all of it where there were none.
        `testbed_after` holds offloads and sysctls, read a second time; `notes` says what of them, and of the qdiscs,
        is no longer what it was.
        """
        after = {where: sandbox.call(where, lambda where=where: _state(applied, where)) for where in _ends(applied)}  # type: ignore[misc]
        testbed = {name: {where: state[name] for where, state in after.items()} for name in ("offloads", "sysctls")}
        shaped = {where: {name: shaping(applied.qdiscs[where])} for where, name in applied.interfaces.items()}
        before = {"offloads": applied.offloads, "sysctls": applied.sysctls, "qdiscs": shaped}
        notes = changes(before, {**testbed, "qdiscs": {where: state["qdiscs"] for where, state in after.items()}})
        if self._record.get("trace", {}).get("outlasted"):
            notes.append("the trace ended before the measurement: its last step stayed; loop it with link.loop=true")
        return {"relay": applied.relay_statistics(), "testbed_after": testbed, **self._record, "notes": notes}

    def _described(self) -> dict[str, Any]:
        link = self._spec.link
        points = variability(self._spec).trace
        found: dict[str, Any] = {"kind": link.name, "steps_in_trace": 0 if points is None else len(points.dt_s)}
        if link.trace is not None:
            content = trace_path(link.trace).read_bytes()
            found |= {"file": Path(link.trace).name, "sha256": hashlib.sha256(content).hexdigest()}
        return found


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A note for each setting that changed while the cell ran: it is then not comparable.

    Args:
        before, after: {"offloads", "sysctls" or "qdiscs": {namespace: {name: value}}}.
    """
    return [
        f"not comparable: {kind} {name} of the {where} namespace was {old!r} before the run and {new!r} after it"
        for kind, ends in before.items()
        for where, values in ends.items()
        for name, old in values.items()
        if (new := after[kind].get(where, {}).get(name)) != old
    ]


def shaping(qdiscs: Sequence[Mapping[str, Any]]) -> str:
    """What an interface is shaped by: its qdiscs, root first, with the rate of those that hold one."""
    return ", ".join(
        f"{qdisc['kind']} at {qdisc['rate_bytes_per_s']} bytes/s" if "rate_bytes_per_s" in qdisc else str(qdisc["kind"])
        for qdisc in qdiscs
    )


def _ends(applied: AppliedLink) -> tuple[Where, ...]:
    return tuple(applied.interfaces)


def _state(applied: AppliedLink, where: Where) -> dict[str, Any]:
    """In the calling thread's network namespace."""
    sysctls = {}
    for name in applied.sysctls[where]:
        path = Path("/proc/sys", *name.split("."))
        sysctls[name] = " ".join(path.read_text().split()) if path.exists() else None
    name = applied.interfaces[where]
    shaped = {name: shaping(interfaces.qdiscs(name))}
    return {"offloads": interfaces.offloads(name), "sysctls": sysctls, "qdiscs": shaped}
