"""The Trainer from order to records, on a network and a data set that are trained in seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.dnn import zoo
from harness.errors import HarnessError, SpecError
from harness.preprocessor import datasets, trainer
from harness.preprocessor.images import Stored
from harness.preprocessor.orders import Order, order_from, request_from
from harness.preprocessor.recipe import Recipe
from harness.results import accuracy
from harness.results.schema import Key

pytestmark = pytest.mark.tensorflow

CLASSES = ("blue", "green", "red")
RECIPE = Recipe(epochs=2, batch=16, learning_rate=0.05, momentum=0.9)


@pytest.fixture(scope="module")
def keras():
    """Keras with one more architecture, small enough to be trained in a second."""
    keras = pytest.importorskip("keras")

    def tiny(input_shape, weights, classes):
        image = keras.Input(input_shape)
        x = keras.layers.Conv2D(6, 3, padding="same", name="stem")(image)
        x = keras.layers.BatchNormalization(name="stem_bn")(x)
        x = keras.layers.ReLU(name="cut_here")(x)
        x = keras.layers.Conv2D(8, 3, name="deep")(x)
        x = keras.layers.BatchNormalization(name="deep_bn")(x)
        x = keras.layers.GlobalAveragePooling2D(name="pooled")(keras.layers.ReLU()(x))
        return keras.Model(image, keras.layers.Dense(classes, activation="softmax", name="scores")(x), name="tiny")

    patch = pytest.MonkeyPatch()
    patch.setattr(keras.applications, "Tiny", tiny, raising=False)
    patch.setattr(trainer, "_prepare", lambda order: None)  # the threads of this process are set already
    yield keras
    patch.undo()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise in the colour of its class, in ImageNet's layout."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, count in (("train", 40), ("val", 20)):
        for channel, name in enumerate(CLASSES):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 150, (9, 9, 3))
                noise[..., 2 - channel] += 40
                Image.fromarray(noise.astype(np.uint8)).save(folder / part / name / f"{index}.png")
    return folder


def order(pictures, cache, **changes) -> Order:
    whole = Order(
        model=zoo.ModelSpec("tiny", "Tiny", (9, 9, 3), "tf"),
        data=datasets.Order("imagefolder", (9, 9), path=str(pictures)),
        key=Key("split", 3, "maxpool", "float32"),
        recipe=RECIPE,
        original=replace(RECIPE, epochs=4),
        seed=0,
        original_seed=0,
        cache=cache,
        recalibration=108,
        control=True,
        deterministic=True,
        threads=1,
    )
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def trained(keras, pictures, tmp_path_factory):
    """One run, its folder and its cache."""
    base = tmp_path_factory.mktemp("trained")
    made = trainer.train(order(pictures, base / "cache"), base / "run")
    return made, base / "run", base / "cache"


def test_every_stage_is_judged_and_written_down(trained):
    _, folder, _ = trained
    record, rows = accuracy.read(folder)
    assert tuple(row.stage for row in rows) == accuracy.STAGES
    assert record["images"] == {"train": 108, "validation": 12, "test": 60}
    assert (record["layer"], record["payload_shape"], record["classes"]) == ("cut_here", [5, 5, 6], list(CLASSES))
    assert accuracy.find(rows, "original").epochs == 4
    assert accuracy.find(rows, "tl_retrained").epochs == 2
    assert accuracy.find(rows, record["reference"]).drop_points == 0
    assert accuracy.find(rows, "tl_retrained").top1 > 0.8
    assert {line["stage"] for line in record["history"]} == {"original", "control", "tl_model"}
    with np.load(folder / accuracy.PREDICTIONS) as found:
        for row in rows:
            assert (found[row.stage] == found["labels"]).mean() == row.top1


def test_the_tlmodel_left_behind_answers_as_it_was_judged(keras, trained, pictures):
    _, folder, _ = trained
    model = keras.models.load_model(folder / accuracy.TL_MODEL, compile=False, safe_mode=True)
    data = datasets.load(datasets.Order("imagefolder", (9, 9), path=str(pictures)))
    spec = zoo.ModelSpec("tiny", "Tiny", (9, 9, 3), "tf")
    scores = model.predict(zoo.preprocess(spec, data.test.take(np.arange(len(data.test)))), verbose=0)
    with np.load(folder / accuracy.PREDICTIONS) as found:
        np.testing.assert_array_equal(scores.argmax(axis=1), found["tl_retrained"])


def test_another_wire_format_shares_original_and_control_and_the_same_again_trains_nothing(trained, pictures, tmp_path):
    made, _, cache = trained
    before = {path.name for path in cache.iterdir()}
    assert sorted(name.split("-")[0] for name in before) == ["control", "original", "tl_model"]
    names = []
    again = trainer.train(order(pictures, cache), tmp_path / "again", lambda what, share: names.append((what, share)))
    assert again == made
    assert not any(0 < share < 1 for what, share in names if "training" in what)
    bytes_ = Key("split", 3, "maxpool", "uint8")
    other = trainer.train(order(pictures, cache, key=bytes_, control=False), tmp_path / "uint8")
    assert {path.name for path in cache.iterdir()} - before == {p.name for p in cache.glob("tl_model-*")} - before
    assert [row["stage"] for row in other["rows"]] == [stage for stage in accuracy.STAGES if stage != "control"]
    assert other["rows"][0]["top1"] == made["rows"][0]["top1"]


def test_the_originals_weights_serve_as_weights_and_must_fit(trained, pictures, tmp_path):
    made, _, cache = trained
    weights = made["original_weights"]
    model = zoo.ModelSpec("tiny", "Tiny", (9, 9, 3), "tf", weights=weights, classes=3)
    given = order(pictures, tmp_path / "cache", model=model, control=False, recipe=replace(RECIPE, epochs=0))
    found = trainer.train(given, tmp_path / "given")
    assert found["rows"][0]["top1"] == made["rows"][0]["top1"]
    assert found["original_recipe"] is None
    other_count = order(pictures, cache, model=replace(model, classes=1000))
    with pytest.raises(SpecError, match=r"has 3 classes, model.weights=.* of tiny 1000; give weights of 3 classes"):
        trainer.train(other_count, tmp_path / "refused")
    with pytest.raises(SpecError, match=r"has 3 classes, model.classes=7; allowed: null, or 3"):
        trainer.train(order(pictures, cache, model=replace(model, weights=None, classes=7)), tmp_path / "refused")
    other_model = order(
        pictures, cache, model=replace(model, name="mobilenet", architecture="MobileNet", input_shape=(32, 32, 3))
    )
    with pytest.raises(SpecError, match="does not fit MobileNet"):
        trainer.train(other_model, tmp_path / "refused")


def test_a_place_that_cannot_be_is_refused_before_anything_is_trained(keras, pictures, tmp_path):
    for split, message in ((7, "no spatial axes"), (99, "is no cut of tiny")):
        with pytest.raises(SpecError, match=message):
            trainer.train(order(pictures, tmp_path, key=Key("split", split, "maxpool", "float32")), tmp_path / "run")
    assert list(tmp_path.glob("original-*")) == []


@pytest.mark.slow
def test_a_frozen_head_learns_nothing_and_a_teacher_is_used(keras, trained, pictures, tmp_path):
    _, _, cache = trained
    recipe = replace(RECIPE, frozen_head=True, distillation=0.5, temperature=2.0)
    trainer.train(order(pictures, cache, recipe=recipe, control=False), tmp_path / "frozen")
    model = keras.models.load_model(tmp_path / "frozen" / accuracy.TL_MODEL, compile=False)
    original = zoo.build(
        zoo.ModelSpec("tiny", "Tiny", (9, 9, 3), "tf", weights=trained[0]["original_weights"], classes=3)
    )
    for name, same in (("stem", True), ("stem_bn", True), ("deep", False)):
        pairs = zip(model.get_layer(name).get_weights(), original.get_layer(name).get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == same


@pytest.mark.slow
def test_a_learned_layer_is_trained_with_the_rest(keras, trained, pictures, tmp_path):
    _, _, cache = trained
    key = Key("split", 3, "bottleneck:ratio=2", "float32")
    trainer.train(order(pictures, cache, key=key, control=False), tmp_path / "learned")
    model = keras.models.load_model(tmp_path / "learned" / accuracy.TL_MODEL, compile=False)
    from harness.transfer import layers

    fresh = layers.get("bottleneck:ratio=2", seed=0).device_tl((9, 9, 6))
    assert not np.allclose(model.get_layer("device_tl").get_weights()[0], fresh.get_weights()[0])


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(keras, pictures, tmp_path, monkeypatch):
    from tests.preprocessor.test_preprocessor_checkpoints import full_disk

    monkeypatch.setattr("harness.preprocessor.fitting.CHECKPOINT_S", 0.0)
    room = order(pictures, tmp_path / "cache", control=False)

    def fill(what: str, share: float) -> None:
        if what == "training the original" and share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(room, tmp_path / "run", fill)
    with full_disk(1000), pytest.raises(HarnessError, match=r"checkpoint\.npz cannot be written.*make room"):
        trainer.train(room, tmp_path / "run")
    shares = []
    made = trainer.train(
        room, tmp_path / "run", lambda what, share: shares.append(share) if "original" in what else None
    )
    assert min(share for share in shares if share > 0) > 0.5
    assert made["rows"][0]["stage"] == "original"


def test_an_order_survives_the_way_to_another_process(pictures, tmp_path):
    import json

    whole = order(pictures, tmp_path)
    assert order_from(json.loads(json.dumps(request_from(whole)))) == whole


def test_pictures_in_memory_are_what_a_validation_over_a_link_takes(pictures):
    data = datasets.load(datasets.Order("imagefolder", (9, 9), path=str(pictures), max_test=6))
    pairs = list(data.test.pairs())
    assert [label for _, label in pairs] == [0, 0, 1, 1, 2, 2]
    assert all(picture.shape == (9, 9, 3) and picture.dtype == np.uint8 for picture, _ in pairs)
    assert isinstance(Stored(pairs[0][0][None], np.zeros(1, np.int32)).take(np.array([0])), np.ndarray)


def test_a_training_is_of_one_preprocessing(trained, pictures, tmp_path):
    _, _, cache = trained
    before = {path.name for path in cache.iterdir()}
    model = zoo.ModelSpec("tiny", "Tiny", (9, 9, 3), "unit")
    trainer.train(order(pictures, cache, model=model, control=False), tmp_path / "other")
    assert sorted(name.split("-")[0] for name in {path.name for path in cache.iterdir()} - before) == [
        "original",
        "tl_model",
    ]
