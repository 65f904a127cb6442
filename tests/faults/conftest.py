"""One host for the faults of a session, with profiles that a first run, left alone, has made."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from netem import CapabilityError, choose_backend
from tests.faults.kills import CELL
from tests.runs import Host


@dataclass(frozen=True)
class Ready:
    """usual_s: what a run takes when nothing happens to it and its profiles are there."""

    host: Host
    usual_s: float


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    tmp = tmp_path_factory.mktemp("faults")
    return Ready(*prepare(Host(tmp, tmp / "profiles", CELL)))


def prepare(host: Host) -> tuple[Host, float]:
    """Make the profiles, then see how long a run takes."""
    usual_s = 0.0
    for name in ("first", "second"):
        started_s = time.monotonic()
        _, run = host.watch(host.tmp / name, None)
        usual_s = time.monotonic() - started_s
        assert run.returncode in (0, 3, 4), host.output()[1]
    return host, usual_s
