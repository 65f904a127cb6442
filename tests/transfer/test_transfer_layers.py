"""Transfer layers: shape maths, and what the Keras halves compute."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.transfer import layers

SIZES = st.integers(1, 400)


@given(SIZES, SIZES, st.integers(1, 2048))
def test_max_pooling_leaves_a_quarter_and_whatever_has_no_partner(height, width, channels):
    shape = layers.get("maxpool").payload_shape((height, width, channels))
    assert shape == (height // 2 + height % 2, width // 2 + width % 2, channels)


@given(st.lists(SIZES, max_size=5).map(tuple))
def test_none_changes_no_shape_and_max_pooling_needs_spatial_axes(shape):
    assert layers.get("none").infeasible_because(shape) is None
    assert layers.get("none").payload_shape(shape) == shape
    pooling = layers.get("maxpool")
    assert (pooling.infeasible_because(shape) is None) == (len(shape) == 3)
    if len(shape) != 3:
        for method in (pooling.payload_shape, pooling.device_tl, pooling.edge_tl):
            with pytest.raises(SpecError, match="no spatial axes"):
                method(shape)


def test_payload_of_layer_1_of_densenet169_is_that_of_the_paper():
    assert 4 * np.prod(layers.get("maxpool").payload_shape((230, 230, 3))) == 158_700  # DESIGN; Fig. 7


def test_none_has_no_halves():
    assert layers.get("none").device_tl((4, 4, 1)) is None
    assert layers.get("none").edge_tl((4, 4, 1)) is None


def test_an_unknown_layer_gets_the_nearest_name():
    assert layers.names() == ("none", "maxpool")
    with pytest.raises(SpecError, match="did you mean 'maxpool'"):
        layers.get("maxpol")
    with pytest.raises(SpecError, match="conf/transfer_layer/maxpool"):
        layers.get("maxpool", kernel=3)


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
def test_every_size_comes_back_with_the_maximum_of_its_window(shape):
    # Negative values throughout: zero padding would win every maximum at the odd edges.
    x = -1 - np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    maxpool = layers.get("maxpool")
    pooled = np.asarray(maxpool.device_tl(shape)(x))
    restored = np.asarray(maxpool.edge_tl(shape)(pooled))
    assert pooled.shape[1:] == maxpool.payload_shape(shape)
    assert restored.shape == x.shape
    for row in range(0, shape[0], 2):
        for column in range(0, shape[1], 2):
            window = np.s_[:, row : row + 2, column : column + 2]
            greatest = x[window].max(axis=(1, 2), keepdims=True)
            np.testing.assert_array_equal(restored[window], np.broadcast_to(greatest, x[window].shape))


@pytest.mark.tensorflow
def test_pooling_twice_is_pooling_once():
    x = np.random.default_rng(0).random((1, 9, 9, 2), dtype=np.float32)
    maxpool = layers.get("maxpool")
    device_tl, edge_tl = maxpool.device_tl((9, 9, 2)), maxpool.edge_tl((9, 9, 2))
    pooled = device_tl(x)
    np.testing.assert_array_equal(device_tl(edge_tl(pooled)), pooled)
