"""Heads, tails and blocks against the whole model."""

import functools
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from harness.dnn import cuts, inputs, slices, zoo
from harness.errors import SpecError

pytestmark = pytest.mark.tensorflow

CONF = Path(__file__).parents[2] / "conf" / "model"
SMALL = ("mobilenet", "mobilenetv2", "vgg16", "xception")
LARGE = (
    *("densenet169", "densenet201", "resnet101", "resnet152", "inceptionresnet_v2", "inception_v3", "vgg19"),
    *("resnet50", "resnet50v2", "resnet101v2", "resnet152v2", "densenet121", "nasnetmobile", "nasnetlarge"),
)
CUTS_OF_A_LARGE_MODEL = 20
#: What every run checks: all cuts of the model that CI measures, some of the main job's. The rest is in the slow set.
ALWAYS = {"mobilenetv2": None, "densenet169": 7}
SMALLEST_NORMAL = np.finfo(np.float32).tiny


@functools.lru_cache(maxsize=1)  # one large model at a time
def model_and_input(name: str):
    spec = zoo.from_config(OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")))
    return zoo.build(spec), zoo.preprocess(spec, inputs.photograph(spec.input_shape))


def activations(model, x) -> list[np.ndarray]:
    """The output of every layer, by index."""
    import keras

    return [np.asarray(y) for y in keras.Model(model.input, [layer.output for layer in model.layers])(x)]


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *(pytest.param(name, most, id=f"{name}, {most or 'all'}") for name, most in ALWAYS.items()),
        *(pytest.param(name, None, marks=pytest.mark.slow) for name in SMALL if name not in ALWAYS),
        *(pytest.param(name, CUTS_OF_A_LARGE_MODEL, marks=pytest.mark.slow) for name in LARGE),
    ],
)
def test_head_and_tail_compute_what_the_model_computes(name, most):
    model, x = model_and_input(name)
    every = activations(model, x)
    scores = every[-1]

    # Random weights behave: nothing overflows, nothing is so small that denormals would slow a timing down,
    # and the scores differ enough that a wrong tail could not pass.
    assert all(np.isfinite(y).all() for y in every)
    assert not any(((y != 0) & (np.abs(y) < SMALLEST_NORMAL)).any() for y in every)
    spread = float(scores.max() - scores.min())
    assert spread > 1e-4 * scores.max()

    indices = [cut.index for cut in cuts.find_cuts(model)]
    if most is not None and len(indices) > most:
        indices = sorted(random.Random(0).sample(indices, most))
    for index in indices:
        crossing = slices.head(model, index)(x)
        np.testing.assert_allclose(crossing, every[index], rtol=0, atol=1e-5 * np.abs(every[index]).max())
        again = np.asarray(slices.tail(model, index)(crossing))
        assert np.abs(again - scores).max() <= min(1e-5 * scores.max(), 1e-2 * spread)


def test_blocks_chain_up_to_the_model_and_share_its_weights():
    model, x = model_and_input("mobilenetv2")
    indices = [0, *(cut.index for cut in cuts.find_cuts(model)), len(model.layers) - 1]
    y = x
    for start, end in itertools.pairwise(indices):
        part = slices.block(model, start, end)
        assert {id(weight) for weight in part.weights} <= {id(weight) for weight in model.weights}
        y = part(y)
    scores = np.asarray(model(x))
    assert np.abs(np.asarray(y) - scores).max() <= 1e-5 * scores.max()


def test_the_ends_are_the_whole_model():
    model, x = model_and_input("mobilenetv2")
    scores = np.asarray(model(x))
    np.testing.assert_allclose(slices.head(model, len(model.layers) - 1)(x), scores, rtol=1e-5)
    np.testing.assert_allclose(slices.tail(model, 0)(x), scores, rtol=1e-5)


def test_a_place_that_is_no_cut_is_refused():
    model, _ = model_and_input("mobilenetv2")
    last = len(model.layers) - 1
    for cut, build in ((last, slices.tail), (0, slices.head), (last + 1, slices.head), (-1, slices.tail)):
        with pytest.raises(SpecError, match=f"allowed: 0 <= start < end <= {last}"):
            build(model, cut)
    inside = next(index for index in range(20, last) if index not in {c.index for c in cuts.find_cuts(model)})
    with pytest.raises(SpecError, match="more than one tensor crosses"):
        slices.tail(model, inside)
