"""Runs the lines that ``plan`` prints, as a user would: each one a process, in the namespace that it names."""

import shlex
import shutil
import subprocess
import time

from netem import LinkSpec, Sandbox, planned_commands
from netem.interfaces import Backend


def run_planned(sandbox: Sandbox, spec: LinkSpec, backend: Backend) -> float:
    """Run them all; returns how long that took, in milliseconds.

    The sandbox' namespaces have no names, so a line's ``-n NAME`` becomes the namespace that the process starts in.
    """
    started_s = time.perf_counter()
    for line in planned_commands(spec, backend):
        where, argv = _parsed(sandbox, line)
        result = sandbox.call(
            where,  # type: ignore[arg-type]
            lambda argv=argv: subprocess.run(argv, capture_output=True, text=True, check=False),  # type: ignore[misc]
        )
        assert result.returncode == 0, f"{line}: {result.stderr}"
    return (time.perf_counter() - started_s) * 1e3


def missing() -> str | None:
    """The program that this host lacks; None where all are there."""
    return next((name for name in ("ip", "tc", "sysctl") if not shutil.which(name)), None)


def _parsed(sandbox: Sandbox, line: str) -> tuple[str, list[str]]:
    words = shlex.split(line)
    if words[:3] == ["ip", "netns", "exec"]:
        return words[3], words[4:]
    program, option, where, *rest = words
    assert option == "-n"
    if "netns" in rest:
        at = rest.index("netns") + 1
        rest[at] = sandbox.netns(rest[at])  # type: ignore[arg-type]
    return where, [program, *rest]
