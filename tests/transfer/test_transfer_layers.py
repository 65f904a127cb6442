"""Transfer layers: labels, shape maths, and what the Keras halves compute."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from harness.errors import SpecError
from harness.transfer import layers
from harness.transfer.learned import RATIOS
from harness.transfer.pooling import INTERPOLATIONS, POOLS

CONF = Path(__file__).parents[2] / "conf" / "transfer_layer"
SIZES = st.integers(1, 400)
SHAPES = st.tuples(SIZES, SIZES, st.integers(1, 2048))
POOLING = st.builds(
    layers.get,
    st.sampled_from(["maxpool", "avgpool"]),
    pool=st.sampled_from(POOLS),
    interpolation=st.sampled_from(INTERPOLATIONS),
)
LEARNED = st.one_of(
    st.builds(layers.get, st.just("bottleneck"), ratio=st.sampled_from(RATIOS)),
    st.builds(
        layers.get, st.just("autoencoder"), depth=st.sampled_from([1, 2, 3]), ratio=st.sampled_from([1, *RATIOS])
    ),
)
SPATIAL = POOLING | LEARNED


# -- labels ---------------------------------------------------------------------------------------------


@given(SPATIAL | st.just(layers.get("none")))
def test_a_label_gives_the_very_layer_back(layer):
    assert layers.get(layer.label) == layer
    assert layers.get(layer.label).label == layer.label
    assert not set(layer.label) & set("/ \"'")


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        (("maxpool", {}), "maxpool"),
        (("maxpool", {"pool": 2, "interpolation": "nearest"}), "maxpool"),
        (("maxpool:pool=3", {}), "maxpool:pool=3"),
        (("maxpool:interpolation=bilinear,pool=3", {}), "maxpool:pool=3,interpolation=bilinear"),
        (("avgpool", {"pool": 4}), "avgpool:pool=4"),
        (("bottleneck", {"ratio": 8, "seed": 5}), "bottleneck:ratio=8"),  # the seed is the experiment's
        (("autoencoder", {"depth": 2}), "autoencoder:depth=2"),
    ],
)
def test_a_label_names_what_is_not_default_in_the_order_of_the_class(parameters, label):
    name, given = parameters
    assert layers.get(name, **given).label == label


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("maxpol", "did you mean 'maxpool'"),
        ("maxpool:kernel=3", "no parameter 'kernel'; allowed: pool, interpolation"),
        ("maxpool:pol=3", "did you mean 'pool'"),
        ("maxpool:pool=5", "pool=5 is not allowed; allowed: 2, 3, 4"),
        ("maxpool:pool=2.5", "pool=2.5 is not allowed"),
        ("maxpool:interpolation=cubic", "interpolation='cubic' is not allowed; allowed: nearest, bilinear, bicubic"),
        ("none:pool=2", "no parameter 'pool'; allowed: none"),
        ("bottleneck:ratio=3", "ratio=3 is not allowed; allowed: 2, 4, 8, 16, 32"),
        ("autoencoder:depth=4", "depth=4 is not allowed"),
        ("bottleneck:seed=3", "holds a seed"),
        ("maxpool:", "not a label"),
        ("maxpool:pool", "not a label"),
        ("maxpool:pool=2,pool=3", "not a label"),
        ("max pool", "not a label"),
        ("", "not a label"),
    ],
)
def test_a_label_that_is_wrong_is_one_line(label, message):
    with pytest.raises(SpecError, match=message) as caught:
        layers.get(label)
    assert "\n" not in str(caught.value)


def test_every_layer_has_a_yaml_that_builds_it_with_its_defaults():
    configs = {file.stem: OmegaConf.to_container(OmegaConf.load(file)) for file in CONF.glob("*.yaml")}
    assert set(configs) == set(layers.names()) == {"none", "maxpool", "avgpool", "bottleneck", "autoencoder"}
    for stem, config in configs.items():
        name = config.pop("name")
        assert layers.get(name, **config) == layers.get(stem)


# -- shapes ---------------------------------------------------------------------------------------------


@given(SPATIAL, SHAPES)
def test_what_is_sent_is_never_more_than_what_crosses(layer, shape):
    small = layer.payload_shape(shape)
    assert len(small) == 3
    assert all(0 < own <= whole for own, whole in zip(small, shape, strict=True))


@given(POOLING, SHAPES)
def test_pooling_leaves_a_value_for_each_window_and_whatever_has_no_partner(layer, shape):
    height, width, channels = shape
    assert layer.payload_shape(shape) == (-(-height // layer.pool), -(-width // layer.pool), channels)


@given(st.lists(SIZES, max_size=5).map(tuple), SPATIAL)
def test_none_changes_no_shape_and_all_others_need_spatial_axes(shape, layer):
    assert layers.get("none").infeasible_because(shape) is None
    assert layers.get("none").payload_shape(shape) == shape
    assert (layer.infeasible_because(shape) is None) == (len(shape) == 3)
    if len(shape) != 3:
        for method in (layer.payload_shape, layer.device_tl, layer.edge_tl):
            with pytest.raises(SpecError, match="no spatial axes"):
                method(shape)


def test_payload_of_layer_1_of_densenet169_is_that_of_the_paper():
    assert 4 * np.prod(layers.get("maxpool").payload_shape((230, 230, 3))) == 158_700  # DESIGN; Fig. 7


def test_none_has_no_halves():
    assert layers.get("none").device_tl((4, 4, 1)) is None
    assert layers.get("none").edge_tl((4, 4, 1)) is None


# -- Keras ----------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_four_by_four_as_in_figure_3():
    feature_map = np.array([[1, 3, 2, 1], [4, 2, 1, 5], [7, 0, 3, 3], [1, 2, 8, 6]], np.float32)[None, :, :, None]
    maxpool = layers.get("maxpool")
    pooled = np.asarray(maxpool.device_tl((4, 4, 1))(feature_map))
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[4, 5], [7, 8]])
    restored = np.asarray(maxpool.edge_tl((4, 4, 1))(pooled))
    np.testing.assert_array_equal(restored[0, :, :, 0], [[4, 4, 5, 5], [4, 4, 5, 5], [7, 7, 8, 8], [7, 7, 8, 8]])


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 7, 3), (5, 8, 2), (8, 5, 2), (6, 4, 1), (149, 149, 2)])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("name", "reduce"), [("maxpool", np.max), ("avgpool", np.mean)])
def test_every_size_comes_back_with_what_its_window_holds(name, reduce, pool, shape):
    # Negative values throughout: zero padding would win every maximum, and pull every mean, at the edges.
    x = -1 - np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    layer = layers.get(name, pool=pool)
    pooled = np.asarray(layer.device_tl(shape)(x))
    restored = np.asarray(layer.edge_tl(shape)(pooled))
    assert pooled.shape[1:] == layer.payload_shape(shape)
    assert restored.shape == x.shape
    before = [(-size % pool) // 2 for size in shape[:2]]
    for row in range(-before[0], shape[0], pool):
        for column in range(-before[1], shape[1], pool):
            window = np.s_[:, max(row, 0) : row + pool, max(column, 0) : column + pool]
            own = reduce(x[window], axis=(1, 2), keepdims=True)
            np.testing.assert_allclose(restored[window], np.broadcast_to(own, x[window].shape), rtol=1e-6)


@pytest.mark.tensorflow
def test_pooling_twice_is_pooling_once():
    x = np.random.default_rng(0).random((1, 9, 9, 2), dtype=np.float32)
    for label in ("maxpool", "maxpool:pool=3", "maxpool:pool=4", "avgpool:pool=3"):
        layer = layers.get(label)
        device_tl, edge_tl = layer.device_tl((9, 9, 2)), layer.edge_tl((9, 9, 2))
        pooled = device_tl(x)
        np.testing.assert_allclose(device_tl(edge_tl(pooled)), pooled, rtol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_interpolation_restores_a_plane_and_its_shape(interpolation):
    layer = layers.get("maxpool", pool=3, interpolation=interpolation)
    plane = np.full((1, 7, 10, 2), 3.5, np.float32)
    restored = np.asarray(layer.edge_tl((7, 10, 2))(layer.device_tl((7, 10, 2))(plane)))
    np.testing.assert_allclose(restored, plane, rtol=1e-6)
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[None, None, :, None], (1, 12, 12, 1))
    steps = np.unique(np.asarray(layer.edge_tl((12, 12, 1))(layer.device_tl((12, 12, 1))(ramp))).round(3)).size
    assert (steps == 4) == (interpolation == "nearest")  # the others slope between the four columns


LEARNED_LABELS = ("bottleneck", "bottleneck:ratio=16", "autoencoder", "autoencoder:depth=2,ratio=4")


@pytest.mark.tensorflow
@pytest.mark.parametrize("label", LEARNED_LABELS)
@pytest.mark.parametrize("shape", [(7, 9, 10), (8, 8, 16), (1, 1, 3)])
def test_learned_halves_fit_together_and_depend_on_the_seed_alone(label, shape):
    x = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    layer = layers.get(label, seed=3)
    device_tl, edge_tl = layer.device_tl(shape), layer.edge_tl(shape)
    small = np.asarray(device_tl(x))
    assert small.shape[1:] == layer.payload_shape(shape)
    restored = np.asarray(edge_tl(small))
    assert restored.shape == x.shape
    again, other = layers.get(label, seed=3), layers.get(label, seed=4)
    np.testing.assert_array_equal(again.edge_tl(shape)(again.device_tl(shape)(x)), restored)
    assert not np.array_equal(other.edge_tl(shape)(other.device_tl(shape)(x)), restored)
    assert len(device_tl.trainable_weights) > 0
    assert len(edge_tl.trainable_weights) > 0


@pytest.mark.tensorflow
@pytest.mark.parametrize("label", LEARNED_LABELS)
def test_weights_of_learned_halves_can_be_set(label):
    layer, shape = layers.get(label), (5, 6, 8)
    x = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    for half, small in (("device_tl", shape), ("edge_tl", layer.payload_shape(shape))):
        given, taking = (getattr(layers.get(label, seed=seed), half)(shape) for seed in (1, 2))
        inputs = x if half == "device_tl" else x[:, : small[0], : small[1], : small[2]]
        assert not np.array_equal(given(inputs), taking(inputs))
        taking.set_weights(given.get_weights())
        np.testing.assert_array_equal(given(inputs), taking(inputs))


@pytest.mark.tensorflow
def test_an_untrained_bottleneck_is_a_projection():
    layer, shape = layers.get("bottleneck", ratio=2), (3, 4, 8)
    x = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    project = lambda y: np.asarray(layer.edge_tl(shape)(layer.device_tl(shape)(y)))  # noqa: E731
    once = project(x)
    np.testing.assert_allclose(project(once), once, atol=1e-5)
    assert np.linalg.norm(once) < np.linalg.norm(x)
