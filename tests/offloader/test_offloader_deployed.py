"""A deployment for real: its halves on device and edge, over a shaped link, through tritonserver on its repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from harness.cell import accuracy, workers
from harness.dnn import inputs
from harness.errors import CapabilityError, DeviceError, EdgeError
from harness.offloader.runner import Runner, measure
from harness.preprocessor import manifest
from harness.preprocessor.manifest import Deployment
from harness.results.schema import TERMS, Key
from harness.spec import PROJECT, Spec
from harness.testbed.deployed import DeployedTestbed

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]

KEY = Key("split", 35, "maxpool")
MODEL = {
    "name": "mobilenetv2",
    "architecture": "MobileNetV2",
    "input_shape": [96, 96, 3],
    "preprocessing": "tf",
    "weights": None,
    "seed": 0,
}
IMAGES = 12

#: What trains nothing but makes the scores differ, as those of a trained network do, and knows the right answers.
_TRAINER = """
import json, sys
import numpy as np
from harness.dnn import inputs, zoo
from harness.preprocessor.inserter import insert
from harness.transfer import layers

model, target, count = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
spec = zoo.ModelSpec(**{**model, "input_shape": tuple(model["input_shape"])})
tl_model = insert(zoo.build(spec), 35, layers.get("maxpool"))
kernel = tl_model.get_layer("predictions").kernel
kernel.assign(kernel * 300)
tl_model.save(target)
pictures = zoo.preprocess(spec, inputs.crops(spec.input_shape, count, seed=7))
print("SCORES " + json.dumps(np.asarray(tl_model(pictures, training=False)).tolist()))
"""


@dataclass
class Running:
    """An entered and loaded testbed of a deployment, and what the TLModel says of the pictures."""

    testbed: DeployedTestbed
    deployment: Deployment
    loaded: dict[str, Any]
    scores: Any


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("deployed")
    done = subprocess.run(
        [sys.executable, "-c", _TRAINER, json.dumps(MODEL), str(folder / "tl_model.keras"), str(IMAGES)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    scores = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("SCORES "))[7:])
    request = {
        "folder": str(folder / "cell"),
        "model": MODEL,
        "key": str(KEY),
        "trained": str(folder / "tl_model.keras"),
        "accuracy": None,
        "onnx": False,
    }
    workers.run("harness.preprocessor.splitter", request, log=folder / "splitter.log", advance=lambda *_: None)
    deployment = manifest.load(folder / "cell")
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        composed = compose(
            "config",
            [
                "mode=measure",
                "model=mobilenetv2",
                "model.input_shape=[96,96,3]",
                "hardware=local",
                "hardware.edge.endpoint=per_cut",
                f"hardware.edge.deployment={deployment.folder}",
            ],
        )
    testbed = DeployedTestbed(Spec.from_config(composed), folder / "logs", deployment)
    try:
        testbed.__enter__()
    except CapabilityError as error:
        pytest.skip(str(error))
    try:
        yield Running(testbed, deployment, testbed.load(), np.asarray(scores))
    finally:
        testbed.__exit__(None, None, None)


def test_the_real_server_runs_what_was_deployed(running: Running) -> None:
    assert running.testbed.server == {"name": "triton", "version": "2.51.0"}
    assert running.loaded["candidate"] == str(KEY)
    running.testbed.check_alive()
    served = running.testbed.sandbox.path("/tmp/triton/models") / running.deployment.manifest.triton_model / "1"
    assert (served / "edge.keras").exists()
    assert not (served / "scission_wire" / "__pycache__").exists()


def test_over_the_link_offline_and_in_the_tlmodel_every_image_has_the_same_class(running: Running) -> None:
    images = [(picture, 0) for picture in inputs.crops((96, 96, 3), IMAGES, seed=7)]
    found = accuracy.classify(running.testbed.agent, KEY, images, IMAGES, lambda *_: None)
    expected = running.scores.argmax(axis=1)
    assert len(set(expected.tolist())) > 1, "the scores do not depend on the picture"
    assert [each.classes[0] for each in found] == expected.tolist()
    assert all(each.agree for each in found)
    assert max(each.difference for each in found) < 1e-5


def test_a_request_has_its_terms_those_of_the_transfer_layer_being_in_head_and_tail(running: Running) -> None:
    runner = Runner(running.testbed.agent, running.testbed.trace, request_timeout_s=60)
    runner.warm([measure(KEY)] * 3)
    samples = [sample for _, sample in runner.rounds([measure(KEY)], 5, seed=0)]
    for sample in samples:
        assert set(sample.terms) == set(TERMS) - {"device_tl", "edge_tl"}
        assert all(ms >= 0 for ms in sample.terms.values())
        assert sum(sample.terms.values()) + sample.other_ms == pytest.approx(sample.total_ms, abs=1e-6)
    assert 0 <= median(sample.other_ms / sample.total_ms for sample in samples) < 0.01
    assert median(sample.terms["uplink"] for sample in samples) > 14  # half the round trip


def test_what_a_deployment_cannot_do_is_one_line_and_it_lives_on(running: Running) -> None:
    agent = running.testbed.agent
    request = {"order": 0, "request_id": "", "paced": False, "idle_ms": 0.0, "connection": "warm", "pause_ms": 0.0}
    for kind, name in (("echo", "2000"), ("anchor", str(KEY)), ("measure", "split/9/maxpool/float32")):
        with pytest.raises(DeviceError) as refused:
            list(agent.run([{**request, "kind": kind, "name": name}], 60))
        assert "\n" not in str(refused.value)
    with pytest.raises(EdgeError, match=r"WireFormatError: .* allowed: exactly 4608") as damaged:
        agent.edge("dance")  # its JSON is no payload
    assert "\n" not in str(damaged.value)
    running.testbed.check_alive()
    (answer,) = agent.run([{**request, "kind": "measure", "name": str(KEY)}], 60)
    assert answer["fused"] is True


def test_the_deployment_itself_is_left_as_it_was(running: Running) -> None:
    assert manifest.load(Path(running.deployment.folder)) == running.deployment
