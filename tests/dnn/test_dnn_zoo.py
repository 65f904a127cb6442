"""The zoo: specs, cache keys, preprocessing, and building with seeded, stored and unobtainable weights."""

import hashlib
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from harness.dnn import zoo
from harness.errors import SpecError

CONF = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(file.stem for file in CONF.glob("*.yaml") if file.stem != "own")  # the user's: test_dnn_own.py
RECORDED_NAMES = {
    *("vgg16", "vgg19", "xception", "resnet50", "resnet101", "resnet152", "resnet50v2", "resnet101v2"),
    *("resnet152v2", "inception_v3", "inceptionresnet_v2", "mobilenet", "mobilenetv2", "densenet121"),
    *("densenet169", "densenet201", "nasnetlarge", "nasnetmobile"),
}
#: Where keras.applications keeps each architecture's own `preprocess_input`.
KERAS_MODULES = {
    "vgg": ("vgg16", "vgg19"),
    "resnet50": ("resnet50", "resnet101", "resnet152"),
    "resnet_v2": ("resnet50v2", "resnet101v2", "resnet152v2"),
    "nasnet": ("nasnetlarge", "nasnetmobile"),
    "densenet": ("densenet121", "densenet169", "densenet201"),
    "inception_resnet_v2": ("inceptionresnet_v2",),
    "mobilenet_v2": ("mobilenetv2",),
}

#: What a fresh process prints: a digest of its random weights, and what it says without a network.
FRESH_PROCESS = """
import hashlib, json
from harness.dnn import zoo
from harness.errors import CapabilityError
spec = zoo.ModelSpec("mobilenetv2", "MobileNetV2", (224, 224, 3), "tf", seed=7)
digest = hashlib.sha256(b"".join(array.tobytes() for array in zoo.build(spec).get_weights())).hexdigest()
try:
    zoo.build(zoo.ModelSpec("mobilenetv2", "MobileNetV2", (224, 224, 3), "tf", "imagenet"))
except CapabilityError as error:
    print(json.dumps([digest, str(error)]))
"""


def spec_of(name: str, **changes: object) -> zoo.ModelSpec:
    return replace(zoo.from_config(OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))), **changes)


def keras_module(name: str) -> str:
    return next((module for module, names in KERAS_MODULES.items() if name in names and module != "vgg"), name)


def test_the_zoo_is_that_of_the_authors_tool():
    assert set(NAMES) == RECORDED_NAMES
    assert [spec_of(name).name for name in NAMES] == NAMES


def test_landmarks_are_the_cuts_that_the_paper_names():
    assert spec_of("densenet169").landmarks == (1, 51, 139)
    assert {name: spec_of(name).landmarks[-1] for name in NAMES if spec_of(name).landmarks} == {
        "densenet169": 139,
        "densenet201": 51,
        "resnet101": 49,
        "inceptionresnet_v2": 61,
        "inception_v3": 10,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wieghts": None}, "did you mean 'weights'"),
        ({"input_shape": [224, 224]}, r"got \[224, 224\]"),
        ({"input_shape": [224, 224, 1]}, r"\[height, width, 3\]"),
        ({"input_shape": "224"}, "input_shape"),
        ({"preprocessing": "keras"}, "allowed: tf, torch, caffe"),
        ({"weights": 3}, "allowed: null, imagenet"),
        ({"landmarks": [0]}, "positive layer indices"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_a_wrong_spec_says_what_is_allowed(changes, message):
    good = {"name": "m", "architecture": "MobileNet", "input_shape": [224, 224, 3], "preprocessing": "tf"}
    with pytest.raises(SpecError, match=message) as caught:
        zoo.from_config({**good, **changes})
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named():
    with pytest.raises(SpecError, match="preprocessing missing"):
        zoo.from_config({"name": "m", "input_shape": [224, 224, 3]})
    with pytest.raises(SpecError, match="one of architecture, file and factory"):
        zoo.from_config({"name": "m", "input_shape": [224, 224, 3], "preprocessing": "tf"})


def test_content_key_tells_networks_apart_and_nothing_else(tmp_path):
    base = spec_of("densenet169")
    first, second = tmp_path / "a.weights.h5", tmp_path / "b.weights.h5"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    variants = [
        base,
        replace(base, seed=1),
        replace(base, architecture="DenseNet121"),
        replace(base, input_shape=(192, 192, 3)),
        replace(base, weights="imagenet"),
        replace(base, weights=str(first)),
        replace(base, weights=str(second)),
    ]
    keys = [zoo.content_key(spec) for spec in variants]
    assert len(set(keys)) == len(keys)
    assert keys[0].startswith("DenseNet169-random0-")
    same = [replace(base, name="mine"), replace(base, landmarks=()), replace(base, preprocessing="tf")]
    assert {zoo.content_key(spec) for spec in same} == {keys[0]}
    assert zoo.content_key(replace(base, weights="imagenet", seed=9)) == keys[4]
    second.write_bytes(b"one")
    assert zoo.content_key(variants[6]) == keys[5]


@pytest.mark.parametrize(("weights", "message"), [("none.h5", "no file at"), ("weights.pkl", r"\*\.keras")])
def test_content_key_of_a_file_that_cannot_be(weights, message):
    with pytest.raises(SpecError, match=message):
        zoo.content_key(spec_of("densenet169", weights=weights))


def test_an_unknown_preprocessing_is_refused():
    with pytest.raises(SpecError, match="allowed: tf, torch, caffe"):
        zoo.preprocess(spec_of("vgg16", preprocessing="keras"), np.zeros((1, 2, 2, 3), np.uint8))


def test_nothing_but_build_imports_tensorflow():
    script = (
        "import sys; from harness.dnn import cuts, inputs, slices, zoo; from harness.transfer import layers, wire;"
        "from harness.prediction import recorded;"
        "inputs.photograph((8, 8, 3)); layers.get('maxpool').payload_shape((5, 5, 2)); wire.get('uint8+jpeg');"
        "print({'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_the_architectures_own_bit_for_bit(name):
    module = importlib.import_module(f"keras.applications.{keras_module(name)}")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    ours = zoo.preprocess(spec_of(name), pictures)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    np.testing.assert_array_equal(ours, module.preprocess_input(pictures.copy()))


@pytest.mark.tensorflow
def test_random_weights_depend_on_the_seed_alone_and_imagenet_needs_a_network(tmp_path):
    closed = "http://127.0.0.1:9"  # the discard port: nothing listens there
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "https_proxy": closed, "HTTPS_PROXY": closed}
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS], capture_output=True, text=True, check=True, env=environment
    )
    digest, message = json.loads(done.stdout.splitlines()[-1])
    spec = spec_of("mobilenetv2", seed=7)
    weights = zoo.build(spec).get_weights()
    assert hashlib.sha256(b"".join(array.tobytes() for array in weights)).hexdigest() == digest
    others = zoo.build(replace(spec, seed=8)).get_weights()
    kernels = [(a, b) for a, b in zip(weights, others, strict=True) if a.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in kernels)
    assert "model.weights=imagenet" in message
    assert "\n" not in message


@pytest.mark.tensorflow
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_weights_come_back_from_a_file(tmp_path, suffix):
    spec = spec_of("mobilenetv2", seed=3)
    model = zoo.build(spec)
    path = tmp_path / f"mine{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    loaded = zoo.build(replace(spec, weights=str(path), seed=0))
    for ours, stored in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, stored)


@pytest.mark.tensorflow
@pytest.mark.parametrize("content", ["mobilenet", "garbage"])
def test_weights_of_another_model_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.weights.h5"
    if content == "garbage":
        path.write_bytes(b"not an HDF5 file")
    else:
        zoo.build(spec_of("mobilenet")).save_weights(path)
    with pytest.raises(SpecError, match="does not fit MobileNetV2") as caught:
        zoo.build(spec_of("mobilenetv2", weights=str(path)))
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "MobilNetV2"}, "did you mean 'MobileNetV2'"),
        ({"architecture": "mobilenet_v2"}, "has no 'mobilenet_v2'"),
        ({"input_shape": (8, 8, 3)}, r"MobileNetV2 with input_shape \[8, 8, 3\]"),
        ({"weights": "none.keras"}, "no file at"),
    ],
)
def test_a_model_that_cannot_be_built_says_why(changes, message):
    with pytest.raises(SpecError, match=message) as caught:
        zoo.build(spec_of("mobilenetv2", **changes))
    assert "\n" not in str(caught.value)
