"""One story that the tests of real cells share, told once a session: a run is killed while it starts, another
while it profiles, a third while it measures, and then a fourth, in the third's folder, is left to end."""

from __future__ import annotations

import pytest

from netem import CapabilityError, choose_backend
from tests import processes
from tests.runs import Aftermath, Finished, Host

#: Small, but everything that the main job has: iiot hardware, every phase, every file.
CELL = (
    "model=mobilenetv2",
    "hardware.device.slowdown=4",
    "measure.samples=3",
    "measure.spread=12",
    "measure.warmup=2",
    "profile.rounds=3",
    "profile.warmup=1",
)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    tmp = tmp_path_factory.mktemp("cells")
    return Host(tmp, tmp / "profiles", CELL)


@pytest.fixture(scope="session")
def killed(host: Host) -> dict[str, Aftermath]:
    """By the phase in which a run was killed, what it left."""

    def served(mark: str, _errors: str) -> bool:
        return any("bin/tritonserver " in processes.command(pid) for pid in processes.marked(mark))

    def profiling(_mark: str, errors: str) -> bool:
        return "compiling blocks on both tiers" in errors

    def measuring(_mark: str, _errors: str) -> bool:
        return (host.tmp / "cell" / "samples.jsonl").exists()

    return {
        "starting": host.watch(host.tmp / "killed_while_starting", served)[0],
        "profiling": host.watch(host.tmp / "killed_while_profiling", profiling)[0],
        "measuring": host.watch(host.tmp / "cell", measuring)[0],
    }


@pytest.fixture(scope="session")
def samples_of_the_killed(killed: dict[str, Aftermath]) -> str:
    """`samples.jsonl` as the run that was killed while it measured left it."""
    return (killed["measuring"].folder / "samples.jsonl").read_text()


@pytest.fixture(scope="session")
def cell(host: Host, samples_of_the_killed: str) -> Finished:
    """A whole cell, in the folder of the killed one."""
    left, run = host.watch(host.tmp / "cell", None)
    return Finished(host.tmp / "cell", host.profiles, run.returncode, *host.output(), left)
