"""Which testbed a cell runs on."""

from __future__ import annotations

from pathlib import Path

from harness.spec import Spec
from harness.testbed.local import LocalTestbed


def testbed_of(spec: Spec, logs: Path) -> LocalTestbed:
    """The testbed of a cell, not yet entered: its device is this host, or a board of its own.

    Args:
        spec: the cell.
        logs: folder for what its processes print.
    """
    if spec.hardware.kind != "remote":
        return LocalTestbed(spec, logs)
    from harness.testbed.remote import RemoteTestbed

    return RemoteTestbed(spec, logs)
