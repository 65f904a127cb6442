"""Which cells of a sweep on Ray are timed, and where: a testbed takes one at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from harness.errors import SpecError
from harness.spec import Spec

#: Modes whose result is the time that something took on one host.
TIMED = ("validate", "measure", "profile")
#: The testbed of a cluster that a sweep starts for itself: this host. Profiles alone go there without being told.
HERE = "here"


def resource(testbed: str) -> str:
    """What a Ray node offers (`ray start --resources='{"testbed:lab1": 1}'`) to be a testbed."""
    return f"testbed:{testbed}"


def testbed_of(spec: Spec, testbeds: Mapping[str, str], *, own_cluster: bool) -> str | None:
    """Where a cell has to run; None: anywhere, beside others.

    Raises:
        SpecError: it is timed, and nobody said where.
    """
    if spec.mode not in TIMED:
        return None
    named = testbeds.get(spec.hardware.name)
    if named is not None:
        return named
    if spec.mode == "profile" and own_cluster:
        return HERE
    raise SpecError(
        f"hydra/launcher=ray: mode={spec.mode} times hardware={spec.hardware.name}, and no testbed is named for it; "
        f"allowed: hydra.launcher.testbeds={{{spec.hardware.name}:NAME}} with a Ray node that offers testbed:NAME, "
        "or hydra/launcher=cells"
    )


def check(launcher: Any, specs: Sequence[Spec]) -> None:
    """Find what a sweep on Ray lacks. Raises SpecError; nothing is started."""
    if find_spec("ray") is None:
        raise SpecError(
            "hydra/launcher=ray needs Ray, which is not installed: pip install 'scissionlite-harness[ray]', "
            "or use hydra/launcher=cells"
        )
    for key, kind in (("cpus", int), ("cpus_per_cell", (int, float))):
        value = launcher.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or value <= 0):
            raise SpecError(f"hydra.launcher.{key}={value} is not allowed; allowed: a number above 0")
    cpus, wanted = launcher.get("cpus") or os.cpu_count() or 1, launcher.get("cpus_per_cell") or 1
    if launcher.address is None and wanted > cpus:
        raise SpecError(
            f"hydra.launcher.cpus_per_cell={wanted}: the cluster has {cpus}, so no cell could ever start; allowed: at "
            "most that, or a larger hydra.launcher.cpus"
        )
    for spec in specs:
        testbed_of(spec, launcher.testbeds, own_cluster=launcher.address is None)
