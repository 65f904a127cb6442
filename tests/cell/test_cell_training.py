"""mode=train up to the Trainer's door: what a spec asks of it, and what is refused before anything is started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from harness.cell import training
from harness.errors import CapabilityError, SpecError
from harness.results import accuracy
from harness.spec import PROJECT, Spec
from harness.transfer import layers


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", overrides=["mode=train", "split=51", *overrides]))


def pictures(folder: Path, count: int = 12) -> Path:
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for channel, name in enumerate(("blue", "green")):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 150, (32, 32, 3))
                noise[..., 2 - channel] += 60
                Image.fromarray(noise.astype(np.uint8)).save(folder / part / name / f"{index}.png")
    return folder


def test_the_recipe_is_the_papers_by_default() -> None:
    order = training.order_of(spec("dataset=fashion_mnist", "dataset.size=32"))
    recipe = order.recipe
    assert (recipe.learning_rate, recipe.schedule, recipe.momentum, recipe.distillation) == (0.001, "constant", 0, 0)
    assert (recipe.bn_momentum, recipe.frozen_head) == (0.9, False)
    assert order.model.input_shape == (32, 32, 3)
    assert str(order.key) == "split/51/maxpool/float32"
    assert order.cache == PROJECT / "outputs" / "trainings"


def test_overrides_reach_the_trainer() -> None:
    order = training.order_of(
        spec(
            *("dataset=imagefolder", "dataset.path=somewhere", "dataset.max_train=100", "train=distilled", "seed=7"),
            *("train.head=frozen", "train.original.seed=3", "transfer_layer.pool=3", "wire_format=uint8"),
        )
    )
    assert str(order.key) == "split/51/maxpool:pool=3/uint8"
    assert (order.seed, order.original_seed, order.model.seed) == (7, 3, 3)
    assert order.recipe.frozen_head
    assert order.recipe.distillation > 0
    assert order.original.distillation == 0
    assert order.data.path == str(PROJECT / "somewhere")
    assert order.model.input_shape == (224, 224, 3)


def test_the_code_of_a_layer_of_ones_own_decides_what_is_trained_anew(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(layers.VARIABLE, "")
    file = tmp_path / "mine.py"
    asked = ("dataset=fashion_mnist", "dataset.size=32", f"+transfer_layer.source={file}")
    file.write_text("version = 1\n")
    first = training.order_of(spec(*asked))
    assert first.layer_code.keys() == {"transfer_layer_sha256"}
    file.write_text("version = 2\n")
    assert training.order_of(spec(*asked)) != first
    assert training.order_of(spec(*asked[:2])).layer_code == {}


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ((), SpecError, "dataset=photograph has no labels"),
        (("dataset=imagefolder", "dataset.path=/nowhere"), SpecError, "there is no folder train"),
        (("dataset=fashion_mnist", "dataset.path=/nowhere"), CapabilityError, "apt-get install dataset-fashion-mnist"),
        (("dataset=imagefolder", "wire_format=uint8", "wire_format.entropy=jpeg"), SpecError, "JPEG loses"),
        (("dataset=fashion_mnsit",), Exception, "fashion_mnist"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(overrides, error, message, tmp_path) -> None:
    with pytest.raises(error, match=message) as caught:
        training.check(spec(*overrides))
    if error is not Exception:
        assert "\n" not in str(caught.value)


def test_a_missing_weights_file_is_found_before_anything_is_started(tmp_path) -> None:
    given = spec("dataset=imagefolder", f"dataset.path={pictures(tmp_path)}", "model.weights=/nowhere/x.weights.h5")
    with pytest.raises(SpecError, match=r"no file at '/nowhere/x\.weights\.h5'"):
        training.check(given)


def test_without_a_cut_and_a_profile_one_line_says_what_to_do(tmp_path) -> None:
    given = spec("dataset=imagefolder", "split=null", f"profile.dir={tmp_path}")
    with pytest.raises(SpecError, match=r"give split=INDEX, or make one with: .*mode=profile"):
        training.order_of(given)


def test_the_console_says_what_came_out(tmp_path) -> None:
    top = {"top1": 0.92, "top5": 1.0, "images": 10_000, "validation_top1": 0.92}
    drop = {"drop_points": 0.5, "drop_low_points": 0.1, "drop_high_points": 0.9}
    cut = {"split": 51, "layer": "conv2_block6_concat", "transfer_layer": "maxpool", "wire_format": "uint8"}
    made = cut | {
        "model": "densenet121",
        "input_shape": [32, 32, 3],
        "dataset": "fashion_mnist",
        "images": {"train": 54_000, "validation": 6000, "test": 10_000},
        "reference": "original",
        "rows": [{"stage": "original", **top}, {"stage": "tl_retrained", **top, **drop}],
    }
    lines = training.lines(made, tmp_path)
    assert lines[0].startswith("Accuracy of densenet121, cut 51 (conv2_block6_concat), maxpool in uint8")
    assert lines[2].endswith("drop +0.50 points [+0.10, +0.90]")
    assert f"deploy.trained={tmp_path}" in lines[3]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_run_killed_while_it_trains_goes_on_and_the_same_seed_gives_the_same_accuracy(tmp_path) -> None:
    folder = pictures(tmp_path / "pictures", 40)

    def command(name: str) -> list[str]:
        return [
            *(sys.executable, "run.py", "mode=train", "model=mobilenet", "split=10", "dataset=imagefolder"),
            *(f"dataset.path={folder}", "dataset.size=32", "train.batch=16", "train.original.batch=16"),
            *("train.original.epochs=8", "train.original.learning_rate=0.01", f"train.dir={tmp_path / name / 'cache'}"),
            f"hydra.run.dir={tmp_path / name / 'run'}",
        ]

    killed = subprocess.Popen(command("killed"), cwd=PROJECT, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "killed" / "cache").glob("original-*/checkpoint.npz")):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    for name in ("killed", "whole"):
        done = subprocess.run(command(name), cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / name / "run" / "status.json").read_text())["status"] == "ok"
    (first, rows), (_, others) = (accuracy.read(tmp_path / name / "run") for name in ("killed", "whole"))
    assert rows == others
    assert first["split"] == 10
    with np.load(tmp_path / "killed/run/predictions.npz") as a, np.load(tmp_path / "whole/run/predictions.npz") as b:
        assert all(np.array_equal(a[stage], b[stage]) for stage in accuracy.STAGES)
