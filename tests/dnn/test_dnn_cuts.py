"""The cut finder: against a definition by paths, against the paper's numbers, against the authors' records."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from harness.dnn import cuts, zoo
from harness.dnn.cuts import Cut, LayerGraph
from harness.errors import SpecError
from harness.prediction.recorded import read_profiles

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "scissiontl" / "device-tx2_gpu.dat"

#: Cuts and, among them, those of the authors' finder. The first five: DESIGN, "Words".
COUNTS = {
    "densenet169": (103, 21),
    "densenet201": (119, 21),
    "resnet101": (73, 40),
    "inceptionresnet_v2": (103, 60),
    "inception_v3": (29, 18),
    "mobilenet": (89, 89),
    "mobilenetv2": (74, 64),
}
#: Their records follow an older Keras' layer table.
RENUMBERED = ("mobilenet", "mobilenetv2")
#: Built in seconds each; with the five of the paper they are checked on every run, the others in the slow set.
QUICK = ("xception", "resnet50", "resnet50v2")
OTHERS = (
    "vgg16",
    "vgg19",
    "resnet152",
    "resnet101v2",
    "resnet152v2",
    "densenet121",
    "nasnetlarge",
    "nasnetmobile",
)


@pytest.fixture(scope="module")
def found():
    """Cuts by model name, each model built once. Its spec has no weights file, so none is read."""
    cache: dict[str, tuple[int, tuple[Cut, ...]]] = {}

    def find(name: str) -> tuple[int, tuple[Cut, ...]]:
        if name not in cache:
            model = zoo.build(spec_of(name))
            cache[name] = (len(model.layers) - 1, cuts.find_cuts(model))
        return cache[name]

    return find


def spec_of(name: str) -> zoo.ModelSpec:
    return zoo.from_config(OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml")))


@st.composite
def graphs(draw, whole: bool) -> LayerGraph:
    """Layers that each read one to three earlier ones; `whole`: every layer lies on a way from first to last."""
    size = draw(st.integers(2, 14))
    inputs: list[tuple[int, ...]] = [()]
    for index in range(1, size):
        near = st.integers(max(0, index - 4), index - 1)
        inputs.append(tuple(draw(st.lists(near, min_size=1, max_size=3))))
    if whole:
        read = {source for sources in inputs for source in sources}
        inputs[-1] = tuple({*inputs[-1], *(index for index in range(size - 1) if index not in read)})
    return LayerGraph(tuple(f"layer{index}" for index in range(size)), tuple(inputs))


@given(graphs(whole=False))
def test_exactly_one_tensor_crosses_a_cut_and_it_is_the_last_layers(graph):
    size = len(graph.names)
    expected = []
    for k in range(1, size - 1):
        crossing = {s for reader in range(k + 1, size) for s in graph.inputs[reader] if s <= k}
        if crossing == {k}:
            expected.append(k)
    assert list(graph.cuts()) == expected


@given(graphs(whole=True))
def test_a_cut_is_a_layer_that_every_way_from_input_to_output_passes(graph):
    size = len(graph.names)

    def reaches_output_without(k: int) -> bool:
        reached = {0}
        for index in range(1, size):
            if index != k and reached & set(graph.inputs[index]):
                reached.add(index)
        return size - 1 in reached

    assert list(graph.cuts()) == [k for k in range(1, size - 1) if not reaches_output_without(k)]


@given(st.integers(2, 30))
def test_in_a_chain_every_inner_layer_is_a_cut_for_both_finders(size):
    chain = LayerGraph(("x",) * size, ((), *((index,) for index in range(size - 1))))
    assert chain.cuts() == chain.scission_cuts() == tuple(range(1, size - 1))


def test_the_edge_counter_misses_cuts_while_a_branch_is_open():
    # 1 -> 2 -> 3 -> add(1, 3) is balanced at the add; a layer read three times and joined twice too.
    residual = LayerGraph(tuple("abcdef"), ((), (0,), (1,), (2,), (1, 3), (4,)))
    assert residual.cuts() == (1, 4)
    assert residual.scission_cuts() == (4,)


def test_a_graph_out_of_order_is_refused():
    with pytest.raises(ValueError, match="layer 1 reads layers"):
        LayerGraph(("a", "b"), ((), (1,)))
    with pytest.raises(ValueError, match="give one each"):
        LayerGraph(("a", "b"), ((),))


def test_size_is_that_of_a_float32_tensor():
    assert Cut(1, "zero_padding2d", (230, 230, 3), True).size_bytes == 634_800  # layer 1 of DenseNet169


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", COUNTS)
def test_as_many_cuts_as_known(found, name):
    last, cuts_ = found(name)
    assert (len(cuts_), sum(cut.scission_cut for cut in cuts_)) == COUNTS[name]
    assert all(0 < cut.index < last for cut in cuts_)
    assert set(spec_of(name).landmarks) <= {cut.index for cut in cuts_}


@pytest.mark.tensorflow
@pytest.mark.recorded
@pytest.mark.parametrize(
    "name",
    [
        *(name for name in (*COUNTS, *QUICK) if name not in RENUMBERED),
        *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_scission_cuts_are_the_recorded_ones(found, name):
    if not RECORDED.is_file():
        pytest.skip(f"no recorded profiles at {RECORDED}")
    last, cuts_ = found(name)
    recorded = {record.output_layer: record for record in read_profiles(RECORDED) if record.model == name}
    theirs = {cut.index: cut for cut in cuts_ if cut.scission_cut}
    assert set(theirs) == set(recorded) - {last}
    assert {index: cut.size_bytes + 128 for index, cut in theirs.items()} == {
        index: recorded[index].output_npy_bytes for index in theirs
    }


@pytest.mark.tensorflow
def test_models_that_have_no_single_index_per_cut_are_refused():
    import keras

    first, second = keras.Input((4,)), keras.Input((4,))
    with pytest.raises(SpecError, match="2 inputs and 1 outputs"):
        cuts.find_cuts(keras.Model([first, second], keras.layers.Add()([first, second])))
    shared = keras.layers.Dense(4)
    with pytest.raises(SpecError, match="2 times"):
        cuts.find_cuts(keras.Model(first, shared(shared(first))))


@pytest.mark.tensorflow
def test_slices_do_not_change_what_is_found():
    import keras

    from harness.dnn import slices

    model = zoo.build(replace(spec_of("mobilenetv2"), input_shape=(32, 32, 3)))
    before = cuts.find_cuts(model)
    for cut in before[::10]:
        slices.head(model, cut.index)
        assert isinstance(slices.tail(model, cut.index), keras.Model)
    assert cuts.find_cuts(model) == before
