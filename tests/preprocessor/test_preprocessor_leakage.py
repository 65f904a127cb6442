"""What a cut reveals: distance correlation against what is known of it, the decoder, and a whole network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from harness.dnn import inputs, zoo
from harness.dnn.cuts import find_cuts
from harness.preprocessor import decoder, leakage
from harness.preprocessor.decoder import Examples
from harness.preprocessor.dependence import distance_correlation, distances
from harness.preprocessor.leakage import Plan

Array = Any


def sample(n: int, width: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, width))


def correlation(x: Array, y: Array, **options: bool) -> float:
    return distance_correlation(distances(x), distances(y), **options)


# -- distance correlation -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (20_000,)])
def test_distances_are_euclidean_whatever_the_shape(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal((9, *shape)).astype(np.float32) + 100
    flat = x.reshape(9, -1).astype(np.float64)
    np.testing.assert_allclose(distances(x), cdist(flat, flat), rtol=1e-4)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_of_normal_variables_it_is_what_theory_says(rho: float) -> None:
    """Theorem 7 of Szekely, Rizzo, Bakirov (2007)."""
    n = 1000
    x, noise = sample(n, 1, 0), sample(n, 1, 1)
    y = rho * x + math.sqrt(1 - rho**2) * noise
    top = rho * math.asin(rho) + math.sqrt(1 - rho**2) - rho * math.asin(rho / 2) - math.sqrt(4 - rho**2) + 1
    expected = math.sqrt(max(top, 0) / (1 + math.pi / 3 - math.sqrt(3)))
    for corrected in (True, False):
        assert correlation(x, y, corrected=corrected) == pytest.approx(expected, abs=0.09)


def test_many_dimensions_and_few_examples_fool_the_plain_statistic_alone() -> None:
    x, y = sample(40, 5000, 2), sample(40, 5000, 3)
    assert correlation(x, y, corrected=False) > 0.9
    assert correlation(x, y) < 0.3


def test_a_relation_that_no_linear_correlation_sees_is_seen() -> None:
    x = sample(300, 1, 4)
    assert abs(np.corrcoef(x[:, 0], (x**2)[:, 0])[0, 1]) < 0.2
    assert correlation(x, x**2) > 0.4


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 30), st.integers(1, 20), st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 1000))
def test_it_is_symmetric_and_blind_to_scale_shift_and_rotation(
    n: int, width: int, scale: float, shift: float, seed: int
) -> None:
    x, y = sample(n, width, seed), sample(n, 3, seed + 1)
    rotation = np.linalg.qr(sample(width, width, seed + 2))[0]
    for corrected in (True, False):
        found = correlation(x, y, corrected=corrected)
        assert 0 <= found <= 1
        assert correlation(y, x, corrected=corrected) == pytest.approx(found, abs=1e-6)
        assert correlation(scale * x @ rotation + shift, y, corrected=corrected) == pytest.approx(found, abs=1e-4)
        assert correlation(x, x, corrected=corrected) == pytest.approx(1.0)


def test_of_what_never_changes_nothing_can_be_learnt() -> None:
    assert correlation(sample(10, 3, 0), np.ones((10, 4))) == 0.0


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 6)])
def test_too_few_or_unpaired_examples_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match="allowed: as many in both, at least 4"):
        correlation(sample(n, 2, 0), sample(m, 2, 1))


# -- pictures -------------------------------------------------------------------------------------------


def test_crops_are_different_reproducible_and_from_the_asked_part() -> None:
    found = inputs.crops((24, 32, 3), 10, seed=3)
    assert (found.shape, found.dtype) == ((10, 24, 32, 3), np.uint8)
    assert np.array_equal(found, inputs.crops((24, 32, 3), 10, seed=3))
    assert not np.array_equal(found, inputs.crops((24, 32, 3), 10, seed=4))
    assert len({crop.tobytes() for crop in found}) == 10
    assert found.std(axis=(1, 2, 3)).min() > 1
    assert inputs.crops((299, 299, 3), 2, seed=0, part=(0.7, 1.0)).shape == (2, 299, 299, 3)


@pytest.mark.parametrize("shape", [(28, 20, 16), (5, 5, 3), (1000,), (7, 1, 1)])
def test_tiles_show_any_tensor(shape: tuple[int, ...]) -> None:
    tiles = leakage.tiles_of(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    assert tiles.dtype == np.uint8
    assert max(tiles.shape[1:]) == leakage.TILE
    assert len(tiles) == min(leakage.TILES, 1 + (shape[2] if len(shape) == 3 else 1))
    assert leakage.tiles_of(np.zeros((4, 4, 2), np.float32)).max() == 0


# -- networks -------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_a_decoder_sees_more_in_the_picture_itself_than_in_noise() -> None:
    pictures = decoder.shrunk(inputs.crops((16, 16, 3), 80, seed=0))
    noise = np.random.default_rng(0).standard_normal(pictures.shape).astype(np.float32)
    reached = [
        decoder.reconstruction_ssim(
            Examples(tensors[:64], pictures[:64]), Examples(tensors[64:], pictures[64:]), steps=60, seed=1
        )
        for tensors in (pictures, noise)
    ]
    assert reached[0] > reached[1] + 0.2
    vector = Examples(noise[:16, 0, :, 0], pictures[:16])
    assert -1 <= decoder.reconstruction_ssim(vector, vector, steps=1, seed=0) <= 1


@pytest.mark.slow
@pytest.mark.tensorflow
def test_every_cut_of_a_network_is_measured() -> None:
    spec = zoo.ModelSpec("mobilenetv2", "MobileNetV2", (32, 32, 3), "tf", seed=1)
    said: list[tuple[str, float]] = []
    plan = Plan(spec, ("none", "maxpool"), pictures=12, decoders=2, decoder_steps=2, shown=3)
    found, budget, tiles = leakage.measure(plan, lambda what, share: said.append((what, share)))
    cuts = find_cuts(zoo.build(spec))
    assert [cut.split for cut in found if cut.transfer_layer == "none"] == [cut.index for cut in cuts]
    spatial = [cut.index for cut in cuts if len(cut.shape) == 3]
    assert [cut.split for cut in found if cut.transfer_layer == "maxpool"] == spatial
    assert all(0 <= cut.distance_correlation <= 1 for cut in found)
    assert found[0].distance_correlation > 0.5
    assert budget["cuts"] == [cuts[0].index, cuts[-1].index]
    assert {cut.split for cut in found if cut.ssim is not None} == set(budget["cuts"])
    assert -1 <= budget["baseline_ssim"] <= 1
    assert list(tiles) == [str(cut.index) for cut in cuts[:3]]
    assert said[-1] == ("training decoders", 1.0)
