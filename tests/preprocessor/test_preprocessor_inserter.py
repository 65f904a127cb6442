"""The Inserter: what the TLModel computes, what it shares with the original, which places it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from harness.dnn import cuts, inputs, slices, zoo
from harness.errors import SpecError
from harness.preprocessor.inserter import DEVICE_TL, EDGE_TL, INSERTED, cut_at, insert
from harness.transfer import layers

pytestmark = pytest.mark.tensorflow

MAXPOOL = layers.get("maxpool")
SPATIAL, VECTOR = "joined", "pooled"


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def network(keras, height: int = 9, width: int = 12):
    """Two branches that join, batch normalisation, a tail with and one without spatial axes."""
    keras.utils.set_random_seed(3)
    image = keras.Input((height, width, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(image)
    left = keras.layers.BatchNormalization(name="left")(x)
    right = keras.layers.Conv2D(4, 1, name="right")(x)
    x = keras.layers.Add(name=SPATIAL)([left, right])
    x = keras.layers.Conv2D(5, 3, activation="relu", name="deep")(x)
    x = keras.layers.GlobalAveragePooling2D(name=VECTOR)(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax", name="scores")(x), name="branched")


def pictures(height: int = 9, width: int = 12, count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, height, width, 3), dtype=np.float32)


def by_hand(model, index: int, x: np.ndarray) -> np.ndarray:
    """Head, 2x2 max pooling, nearest upsampling cropped to the head's size, tail."""
    crossing = np.asarray(slices.head(model, index)(x))
    _, height, width, _ = crossing.shape
    padded = np.pad(crossing, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), constant_values=-np.inf)
    pooled = np.maximum.reduce([padded[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    restored = pooled.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    return np.asarray(slices.tail(model, index)(restored))


@pytest.mark.parametrize("size", [(9, 12), (8, 8), (7, 9), (5, 6)])
@pytest.mark.parametrize("layer", ["stem", SPATIAL, "deep"])
def test_the_tlmodel_computes_head_transfer_layer_tail_at_odd_sizes_too(keras, layer, size):
    model = network(keras, *size)
    tl_model = insert(model, layer, MAXPOOL)
    x = pictures(*size)
    np.testing.assert_allclose(tl_model(x), by_hand(model, cut_at(model, layer).index, x), rtol=1e-5)
    assert tl_model.input_shape == model.input_shape
    assert tl_model.output_shape == model.output_shape


def test_index_and_name_are_the_same_cut_and_the_head_keeps_its_indices(keras):
    model = network(keras)
    cut = cut_at(model, SPATIAL)
    assert cut == cut_at(model, cut.index)
    tl_model = insert(model, cut.index, MAXPOOL)
    names = [layer.name for layer in model.layers]
    after = cut.index + 1
    assert [layer.name for layer in tl_model.layers] == [*names[:after], DEVICE_TL, EDGE_TL, *names[after:]]
    # What a splitter takes apart again: both places inside are cuts of the TLModel.
    found = {found.layer for found in cuts.find_cuts(tl_model)}
    assert {SPATIAL, DEVICE_TL, EDGE_TL} <= found


def test_weights_are_the_originals_and_training_leaves_those_alone(keras):
    model = network(keras)
    before = [array.copy() for array in model.get_weights()]
    tl_model = insert(model, SPATIAL, MAXPOOL)
    for layer in model.layers:
        for ours, theirs in zip(tl_model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    trainable = [weight.path for weight in tl_model.trainable_weights]
    assert trainable == [weight.path for weight in model.trainable_weights]

    tl_model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    start = tl_model.get_weights()
    tl_model.train_on_batch(pictures(), np.array([0, 1, 2, 0]))
    moved = [not np.array_equal(a, b) for a, b in zip(start, tl_model.get_weights(), strict=True)]
    assert all(moved), "a gradient or a running mean did not get through the transfer layer"
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert model.get_layer(SPATIAL) is not tl_model.get_layer(SPATIAL)


def test_none_is_the_original_over_again(keras):
    model = network(keras)
    same = insert(model, SPATIAL, layers.get("none"))
    assert not set(INSERTED) & {layer.name for layer in same.layers}
    np.testing.assert_array_equal(same(pictures()), model(pictures()))


def test_a_tlmodel_is_stored_and_loaded(keras, tmp_path):
    tl_model = insert(network(keras), SPATIAL, MAXPOOL)
    tl_model.save(tmp_path / "tlmodel.keras")
    loaded = keras.models.load_model(tmp_path / "tlmodel.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(pictures()), tl_model(pictures()), rtol=1e-6)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("left", r"split=left is no cut of branched: .* nearest \d \((stem|joined)\) and \d"),
        (0, "split=0 is no cut"),
        (99, "split=99 is no cut"),
        ("jioned", "has no layer of this name; did you mean 'joined'"),
        (VECTOR, r"transfer_layer maxpool cannot stand at cut \d \(pooled\) of branched: no spatial axes"),
    ],
)
def test_a_place_that_cannot_be_is_refused_with_the_reason(keras, split, message):
    with pytest.raises(SpecError, match=message) as caught:
        insert(network(keras), split, MAXPOOL)
    assert "\n" not in str(caught.value)


def test_what_is_no_single_functional_network_is_refused(keras):
    tl_model = insert(network(keras), SPATIAL, MAXPOOL)
    with pytest.raises(SpecError, match="'device_tl' already"):
        insert(tl_model, "stem", MAXPOOL)
    with pytest.raises(SpecError, match="no functional Keras model"):
        insert(keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()]), 0, MAXPOOL)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("inception_v3", "densenet169")),
    ],
)
def test_cuts_of_the_zoo(keras, name):
    """First, middle and last spatial cut of a real network, odd sizes among them (inception_v3: 149, 147, 73)."""
    architecture = {
        "mobilenetv2": ("MobileNetV2", (96, 96, 3)),
        "inception_v3": ("InceptionV3", (299, 299, 3)),
        "densenet169": ("DenseNet169", (224, 224, 3)),
    }[name]
    spec = zoo.ModelSpec(name, *architecture, "tf")
    model = zoo.build(spec)
    x = zoo.preprocess(spec, inputs.photograph(spec.input_shape))
    spatial = [cut for cut in cuts.find_cuts(model) if len(cut.shape) == 3]
    for cut in (spatial[0], spatial[len(spatial) // 2], spatial[-1]):
        expected = by_hand(model, cut.index, x)
        scores = np.asarray(insert(model, cut.index, MAXPOOL)(x))
        np.testing.assert_allclose(scores, expected, rtol=1e-4)
