"""The request's picture."""

import numpy as np
import pytest

from harness.dnn import inputs
from harness.errors import SpecError


def test_it_has_the_models_size_and_is_the_same_each_time():
    picture = inputs.photograph((224, 299, 3))
    assert picture.shape == (1, 224, 299, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, inputs.photograph((224, 299, 3)))


def test_it_is_the_centre_of_the_photograph():
    datasets = pytest.importorskip("sklearn.datasets")
    whole = datasets.load_sample_image("china.jpg")  # [427, 640, 3]
    square = inputs.photograph((427, 427, 3))[0]
    left = (640 - 427) // 2
    assert np.abs(square.astype(int) - whole[:, left : left + 427]).mean() < 10  # half a pixel off at most
    assert square.std() > 30


def test_a_model_without_colour_is_refused():
    with pytest.raises(SpecError, match="allowed: 3"):
        inputs.photograph((32, 32, 1))
