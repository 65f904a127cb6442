"""Where a tier computes: the same code for both processors; a GPU is stood in for where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import CapabilityError
from harness.profiling.placement import Placement
from harness.spec import PROJECT


class FakeTensorFlow:
    """FAKE TensorFlow with a GPU: notes in what order it is asked for what."""

    def __init__(self, gpus: int = 1, *, started: bool = False) -> None:
        self.calls: list[str] = []
        self._started = started
        found = [f"GPU:{number}" for number in range(gpus)]
        self.config = SimpleNamespace(
            list_physical_devices=lambda kind: found,
            experimental=SimpleNamespace(
                set_memory_growth=self._grow,
                get_memory_growth=lambda gpu: False,
                get_device_details=lambda gpu: {"device_name": "NVIDIA Fake", "compute_capability": (9, 0)},
            ),
        )
        self.test = SimpleNamespace(experimental=SimpleNamespace(sync_devices=lambda: self.calls.append("sync")))

    def _grow(self, gpu: str, enabled: bool) -> None:
        if self._started:
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        self.calls.append(f"grow {gpu} {enabled}")

    @contextmanager
    def device(self, name: str) -> Any:
        self.calls.append(f"enter {name}")
        yield
        self.calls.append(f"leave {name}")

    def convert_to_tensor(self, array: Any) -> Any:
        self.calls.append("convert")
        return SimpleNamespace(device="/job:localhost/replica:0/task:0/device:CPU:0")

    def identity(self, tensor: Any) -> Any:
        self.calls.append("copy")
        return SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:0")


def placed(monkeypatch: pytest.MonkeyPatch, fake: FakeTensorFlow, processor: str) -> Placement:
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    return Placement(processor)


def test_a_gpu_grows_its_memory_and_is_waited_for_before_anyone_reads_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTensorFlow()
    own = placed(monkeypatch, fake, "gpu")
    tensor = own.tensor([1.0])
    own.settle(tensor)
    assert fake.calls == [
        "grow GPU:0 True", "enter /GPU:0", "convert", "copy", "leave /GPU:0", "sync", "sync",
    ]  # fmt: skip
    own.require(tensor)
    with pytest.raises(CapabilityError, match=r"computed on .*CPU:0, not on /GPU:0"):
        own.require(SimpleNamespace(device="/job:localhost/replica:0/task:0/device:CPU:0"))
    assert own.describe()["device_name"] == "NVIDIA Fake"


def test_a_cpu_beside_a_gpu_is_named_and_never_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTensorFlow()
    own = placed(monkeypatch, fake, "cpu")
    own.settle(own.tensor([1.0]))
    assert fake.calls == ["grow GPU:0 True", "enter /CPU:0", "convert", "leave /CPU:0"]


def test_where_there_is_no_gpu_the_cpu_costs_nothing_and_a_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTensorFlow(gpus=0)
    placed(monkeypatch, fake, "cpu").tensor([1.0])
    assert fake.calls == ["convert"]
    with pytest.raises(CapabilityError, match="TensorFlow sees no GPU") as caught:
        placed(monkeypatch, fake, "gpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no processor 'tpu'; allowed: cpu, gpu"):
        placed(monkeypatch, fake, "tpu")


def test_memory_that_was_taken_before_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CapabilityError, match="has taken all of the GPU's memory"):
        placed(monkeypatch, FakeTensorFlow(started=True), "gpu")


_BOTH = """
import sys
import numpy as np
from harness.dnn.zoo import ModelSpec
from harness.errors import CapabilityError
from harness.profiling.tier import Tier

spec = ModelSpec("mobilenetv2", "MobileNetV2", (96, 96, 3), "tf")
tier = Tier(spec, processor=sys.argv[1])
x = tier.tensor(tier.input)
tensor = tier.settled(tier.head(35)(x))
tier.placement.require(x)
tier.placement.require(tensor)
scores = np.asarray(tier.tail(35)(tensor))
whole = np.asarray(tier.head(tier.last)(x))
eager = np.asarray(tier.block(0, 35, "eager")(x))
assert np.allclose(scores, whole, atol=1e-4)
assert np.allclose(eager, np.asarray(tensor), atol=1e-3)
try:
    Tier(spec, threads=7)
except CapabilityError as error:
    print("threads:", error)
print("top", int(scores.argmax()), tier.placement.describe())
"""


def computed(processor: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _BOTH, processor],
        capture_output=True, text=True, check=False, timeout=170, cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.tensorflow
def test_a_tier_computes_where_it_is_told() -> None:
    output = computed("cpu", CUDA_VISIBLE_DEVICES="")
    assert "'device': '/CPU:0'" in output
    assert "threads: threads=7: TensorFlow runs with 1 in this process since its first model" in output


@pytest.mark.gpu
@pytest.mark.tensorflow
def test_a_real_gpu_computes_the_same() -> None:
    import shutil

    if shutil.which("nvidia-smi") is None:
        pytest.skip("no NVIDIA GPU")
    own, cpu = computed("gpu"), computed("cpu")
    assert "'device': '/GPU:0'" in own
    assert own.split("top ")[1].split()[0] == cpu.split("top ")[1].split()[0]
