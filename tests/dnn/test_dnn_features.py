"""Features against their definitions: by brute force on made-up graphs, by hand and by literature on Keras models."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.dnn import zoo
from harness.dnn.cuts import LayerGraph, find_cuts
from harness.dnn.features import LayerFeatures, graph_features, head_peak_bytes, merged


@st.composite
def sized_graphs(draw: st.DrawFn) -> tuple[LayerGraph, list[int], list[int]]:
    count = draw(st.integers(2, 14))
    inputs: list[tuple[int, ...]] = [()]
    for index in range(1, count):
        sources = draw(st.sets(st.integers(max(0, index - 4), index - 1), min_size=1, max_size=3))
        inputs.append(tuple(sorted(sources)))
    sizes = st.lists(st.integers(0, 1000), min_size=count, max_size=count)
    return LayerGraph(tuple(f"l{index}" for index in range(count)), tuple(inputs)), draw(sizes), draw(sizes)


@settings(deadline=None)
@given(sized_graphs())
def test_a_head_s_peak_is_its_weights_and_the_most_that_lives_at_once(
    case: tuple[LayerGraph, list[int], list[int]],
) -> None:
    graph, sizes, weights = case
    cuts = graph.cuts()
    peaks = head_peak_bytes(graph, sizes, weights, cuts)
    assert len(peaks) == len(cuts)
    for cut, peak in zip(cuts, peaks, strict=True):
        alive = []
        for running in range(cut + 1):
            needed = {j for i in range(running, cut + 1) for j in graph.inputs[i] if j <= running} | {running}
            alive.append(sum(sizes[j] for j in needed))
        assert peak == sum(weights[: cut + 1]) + max(alive)


@settings(deadline=None)
@given(sized_graphs())
def test_a_longer_head_never_needs_less(case: tuple[LayerGraph, list[int], list[int]]) -> None:
    graph, sizes, weights = case
    peaks = head_peak_bytes(graph, sizes, weights, graph.cuts())
    assert list(peaks) == sorted(peaks)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: from 0"):
        LayerFeatures(1, -1, 0, 0, 0)


def small_model() -> Any:
    import keras

    picture = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(picture)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    x = keras.layers.Add(name="add")([x, y])
    x = keras.layers.SeparableConv2D(5, 3, strides=2, padding="same", use_bias=False, name="separable")(x)
    x = keras.layers.Conv2D(6, (1, 1), groups=1, use_bias=False, name="point")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(picture, keras.layers.Dense(10, name="scores")(x))


@pytest.mark.tensorflow
def test_counts_of_a_small_model_by_hand() -> None:
    model = small_model()
    cuts = find_cuts(model)
    assert [cut.layer for cut in cuts] == ["conv", "add", "separable", "point", "pool"]
    features = graph_features(model, cuts)
    image, wide = 4 * 8 * 8 * 3, 4 * 8 * 8 * 4
    assert features.blocks[0] == {"Conv2D 3x3": LayerFeatures(1, 64 * 9 * 3 * 4, 9 * 3 * 4 + 4, image, wide)}
    assert features.blocks[1] == {
        "DepthwiseConv2D 3x3": LayerFeatures(1, 64 * 9 * 4, 9 * 4 + 4, wide, wide),
        "Add": LayerFeatures(1, 0, 0, 2 * wide, wide),
    }
    half = 4 * 4 * 4 * 5
    assert features.blocks[2] == {
        "SeparableConv2D 3x3": LayerFeatures(1, 16 * 9 * 4 + 16 * 4 * 5, 9 * 4 + 4 * 5, wide, half)
    }
    assert features.blocks[3] == {"Conv2D 1x1": LayerFeatures(1, 16 * 5 * 6, 5 * 6, half, 4 * 4 * 4 * 6)}
    assert features.blocks[5] == {"Dense": LayerFeatures(1, 6 * 10, 6 * 10 + 10, 4 * 6, 4 * 10)}
    # conv needs its picture and its output; add needs conv's and deep's outputs beside its own
    assert features.head_peak_bytes[0] == 4 * 112 + image + wide
    assert features.head_peak_bytes[1] == 4 * (112 + 40) + 3 * wide


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "architecture", "giga_macs", "million_parameters"),
    [("mobilenetv2", "MobileNetV2", 0.300, 3.54), ("resnet50", "ResNet50", 3.86, 25.6)],
)
def test_totals_are_those_of_the_literature(
    name: str, architecture: str, giga_macs: float, million_parameters: float
) -> None:
    """Sandler et al. 2018 (300 M MACs, 3.4 M parameters without statistics) and He et al. 2016 (3.8 G)."""
    model = zoo.build(zoo.ModelSpec(name, architecture, (224, 224, 3), "tf"))
    cuts = find_cuts(model)
    features = graph_features(model, cuts)
    assert (len(features.blocks), len(features.head_peak_bytes)) == (len(cuts) + 1, len(cuts))
    whole = merged(features.blocks)
    assert sum(layer.macs for layer in whole.values()) == pytest.approx(giga_macs * 1e9, rel=0.01)
    assert sum(layer.parameters for layer in whole.values()) == model.count_params()
    assert model.count_params() == pytest.approx(million_parameters * 1e6, rel=0.01)
    assert sum(layer.layers for layer in whole.values()) == len(model.layers) - 1
    weights_and_input = 4 * (math.prod((224, 224, 3)))
    assert features.head_peak_bytes[0] > weights_and_input
