"""Training a tiny network: repeatable to the last bit, cut short anywhere, with teacher, frozen head and patience."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.dnn import zoo
from harness.errors import HarnessError
from harness.preprocessor import checkpoints, normalisation
from harness.preprocessor.evaluation import BATCH, Evaluator
from harness.preprocessor.fitting import CHECKPOINT, Fit
from harness.preprocessor.images import Stored
from harness.preprocessor.recipe import Recipe

pytestmark = pytest.mark.tensorflow

SPEC = zoo.ModelSpec("tiny", "Tiny", (8, 8, 3), "tf", classes=3)
RECIPE = Recipe(epochs=3, batch=16, learning_rate=0.1, schedule="cosine", momentum=0.9, weight_decay=1e-4)


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def network(keras, seed: int = 1):
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="head")(image)
    x = keras.layers.BatchNormalization(name="normalised")(x)
    x = keras.layers.Conv2D(6, 3, activation="relu", name="deep")(x)
    x = keras.layers.BatchNormalization(name="deeper")(x)
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax", name="scores")(x), name="tiny")


def pictures(count: int, seed: int) -> Stored:
    """Noise whose colour tells the class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count).astype(np.int32)
    noise = generator.integers(0, 120, (count, 8, 8, 3))
    noise[np.arange(count), :, :, labels] += 60
    return Stored(noise.astype(np.uint8), labels)


TRAIN, VALIDATION = pictures(100, 0), pictures(40, 1)


def fit(model, folder, recipe=RECIPE, seed=5, advance=lambda share: None, **more):
    evaluate = Evaluator(model, SPEC)
    return Fit(model, SPEC, recipe, TRAIN, VALIDATION, evaluate=evaluate, seed=seed, folder=folder, **more).run(advance)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(keras, tmp_path):
    models = [network(keras) for _ in range(3)]
    histories = [fit(model, tmp_path / str(n), seed=5 + n // 2) for n, model in enumerate(models)]
    arrays = [model.get_weights() for model in models]
    assert all(np.array_equal(a, b) for a, b in zip(arrays[0], arrays[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(arrays[0], arrays[2], strict=True))
    first = [{**record, "seconds_per_step": 0} for record in histories[0]]
    assert first == [{**record, "seconds_per_step": 0} for record in histories[1]]
    assert [record["epoch"] for record in first] == [1, 2, 3]
    assert Evaluator(models[0], SPEC)(VALIDATION).top1 > 0.9
    assert models[0].get_layer("normalised").momentum == 0.99  # ours was for the training alone


class Killed(BaseException):
    """Stands for a kill: nothing of `Fit` runs after it."""


@pytest.mark.parametrize("after", [1, 7, 17])
def test_a_training_cut_short_ends_as_one_that_was_not(keras, tmp_path, after, monkeypatch):
    monkeypatch.setattr("harness.preprocessor.fitting.CHECKPOINT_S", 0.0)  # a checkpoint each step
    whole = network(keras)
    history = fit(whole, tmp_path / "whole")
    steps = round(history[-1]["step"])

    def die(share: float) -> None:
        if round(share * steps) == after:
            raise Killed

    with pytest.raises(Killed):
        fit(network(keras), tmp_path / "cut", advance=die)
    resumed = network(keras, seed=99)  # its own weights do not matter any more
    shares = []
    again = fit(resumed, tmp_path / "cut", advance=shares.append)
    assert len(shares) == steps - after
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))
    keys = ("step", "loss", "validation_top1")
    assert [[record[key] for key in keys] for record in again] == [[record[key] for key in keys] for record in history]


def test_a_checkpoint_of_another_network_is_refused(keras, tmp_path):
    checkpoints.write(tmp_path / CHECKPOINT, {"model": [np.zeros(3)], "optimizer": []}, {"step": 1})
    with pytest.raises(HarnessError, match=r"checkpoint\.npz is of another network"):
        fit(network(keras), tmp_path)


def test_a_frozen_head_keeps_weights_and_statistics(keras, tmp_path):
    model = network(keras)
    before = [model.get_layer(name).get_weights() for name in ("head", "normalised", "deeper")]
    fit(model, tmp_path, frozen=model.layers[:3])
    after = [model.get_layer(name).get_weights() for name in ("head", "normalised", "deeper")]
    same = [all(np.array_equal(a, b) for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
    assert same == [True, True, False]
    assert all(layer.trainable for layer in model.layers)


def test_a_teacher_alone_is_followed_even_where_it_is_wrong(keras, tmp_path):
    teacher_model = network(keras)
    shifted, evaluate = Stored(TRAIN.pictures, (TRAIN.labels + 1) % 3), Evaluator(teacher_model, SPEC)
    wrong = Fit(
        *(teacher_model, SPEC, RECIPE, shifted, VALIDATION), evaluate=evaluate, seed=0, folder=tmp_path / "teacher"
    )
    wrong.run(lambda share: None)
    from harness.preprocessor.distillation import Teacher

    student = network(keras, seed=2)
    fit(
        student,
        tmp_path / "student",
        replace(RECIPE, distillation=1.0, temperature=2.0),
        teacher=Teacher(teacher_model, len(TRAIN)),
    )
    answers = Evaluator(student, SPEC)(VALIDATION)
    assert (answers.predicted == (VALIDATION.labels + 1) % 3).mean() > 0.9


def test_with_patience_the_best_epoch_is_kept(keras, tmp_path):
    model = network(keras)
    history = fit(model, tmp_path, replace(RECIPE, epochs=40, schedule="constant", patience=2))
    assert len(history) < 40
    tops = [record["validation_top1"] for record in history]
    assert len(tops) - 1 - tops.index(max(tops)) == 3
    assert Evaluator(model, SPEC)(VALIDATION).top1 == max(tops)


def test_a_training_that_diverges_is_one_line(keras, tmp_path):
    with pytest.raises(HarnessError, match=r"diverged; lower its learning_rate \(1e\+20\)"):
        fit(network(keras), tmp_path, replace(RECIPE, learning_rate=1e20, schedule="constant", weight_decay=0))


def test_recalibration_finds_the_statistics_behind_a_cut_and_nothing_else(keras):
    model = network(keras)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    normalisation.recalibrate(model, 2, SPEC, TRAIN, len(TRAIN), lambda share: None)
    deep = keras.Model(model.inputs[0], model.get_layer("deep").output)
    values = np.asarray(deep(zoo.preprocess(SPEC, TRAIN.pictures)))
    deeper = model.get_layer("deeper")
    np.testing.assert_allclose(deeper.moving_mean, values.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(deeper.moving_variance, values.var(axis=(0, 1, 2)), rtol=1e-2)
    for layer in model.layers:
        changed = [not np.array_equal(a, b) for a, b in zip(layer.get_weights(), before[layer.name], strict=True)]
        assert changed == ([False, False, True, True] if layer.name == "deeper" else [False] * len(changed))


def test_answers_count_the_first_and_the_first_five(keras):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(8, activation="softmax")(keras.layers.Flatten()(image))
    model = keras.Model(image, scores)
    many = Stored(pictures(BATCH + 3, 2).pictures, np.arange(BATCH + 3, dtype=np.int32) % 8)
    answers = Evaluator(model, SPEC)(many)
    plain = np.asarray(model(zoo.preprocess(SPEC, many.pictures)))
    assert answers.predicted.tolist() == plain.argmax(axis=1).tolist()
    ranks = (plain > plain[np.arange(len(many)), many.labels][:, None]).sum(axis=1)
    assert answers.top5 == pytest.approx((ranks < 5).mean())
    assert answers.top1 == pytest.approx((ranks == 0).mean())
