"""What the Communicator and Triton add to a bare gRPC echo of the same bytes over the same link, as a ratio."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness.errors import CapabilityError
from harness.spec import PROJECT, Spec
from harness.testbed.local import LocalTestbed
from tests.benchmarks import echo_peers

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]

BARE_PORT = 8002
ROUNDS = 15
#: Opens the windows of both connections, as a cell does before it measures.
WARMUP_BYTES, WARMUP_ROUNDS = 800_000, 5


class Caller:
    """The process on the device, one round trip at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __call__(self, way: str, size: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"way": way, "bytes": size}).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or b"{}")
        assert answer, "the caller ended: see its traceback on standard error"
        return answer


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        composed = compose("config", ["model=mobilenetv2", "hardware=local", "bandwidth=57", "latency=28"])
    with ExitStack() as stack:
        try:
            testbed = stack.enter_context(LocalTestbed(Spec.from_config(composed), tmp_path_factory.mktemp("logs")))
        except CapabilityError as error:
            pytest.skip(str(error))
        testbed.load()
        bare = f"{testbed.sandbox.address('edge')}:{BARE_PORT}"
        call = Caller(start(testbed, "device", ["call", testbed.edge_url, bare]))
        answered = call("communicator", 1000)["answered"]
        start(testbed, "edge", ["serve", bare, str(answered)])
        yield call


def start(testbed: LocalTestbed, where: Any, arguments: list[str]) -> subprocess.Popen[bytes]:
    """A peer on its tier's core; it ends with the testbed."""
    hardware = testbed.spec.hardware
    return testbed.sandbox.popen(
        where,
        [sys.executable, echo_peers.__file__, *arguments],
        cpu=hardware.device.cpu if where == "device" else hardware.edge.cpu,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("payload_bytes", [100_000, 800_000], ids=["0.1 MB", "0.8 MB"])
def test_a_request_costs_little_more_than_its_bytes(benchmark: Any, caller: Caller, payload_bytes: int) -> None:
    for way in ("bare", "communicator"):
        for _ in range(WARMUP_ROUNDS):
            caller(way, WARMUP_BYTES)
    message_bytes = caller("communicator", payload_bytes)["sent"]
    times: dict[str, list[float]] = {"bare": [], "communicator": []}
    answers: set[int] = set()

    def bare_first() -> None:
        """The other half of each round: both ways see the same state of the machine and of the link."""
        answer = caller("bare", message_bytes)
        times["bare"].append(answer["ms"])
        answers.add(answer["answered"])

    def round_trip() -> None:
        answer = caller("communicator", payload_bytes)
        times["communicator"].append(answer["ms"])
        answers.add(answer["answered"])

    benchmark.pedantic(round_trip, setup=bare_first, rounds=ROUNDS)
    assert len(answers) == 1, "both ways must answer with as many bytes"
    ratio = median(times["communicator"]) / median(times["bare"])
    benchmark.extra_info |= {
        "ratio": ratio,
        "bare_ms": median(times["bare"]),
        "communicator_ms": median(times["communicator"]),
        "message_bytes": message_bytes,
    }
    assert 0.97 < ratio < 1.15, benchmark.extra_info
