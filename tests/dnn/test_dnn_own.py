"""A user's own Keras model: from a file, from a function, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.dnn import cuts, inputs, own, slices, zoo
from harness.dnn.features import graph_features
from harness.errors import SpecError
from harness.spec import PROJECT

EXAMPLE = PROJECT / "docs" / "examples" / "two_branches.py"
BRANCHED = zoo.ModelSpec("two_branches", None, (97, 131, 3), "unit", factory=f"{EXAMPLE}:build", seed=3)


def of_code(folder: Path, code: str, name: str = "build") -> zoo.ModelSpec:
    path = folder / f"net_{len(list(folder.iterdir()))}.py"
    path.write_text(f"import keras\nfrom keras import layers\n\ndef build():\n    {code}\n")
    return replace(BRANCHED, factory=f"{path}:{name}")


def test_the_key_goes_with_the_content_and_not_with_the_place(tmp_path: Path) -> None:
    key = zoo.content_key(BRANCHED)
    assert key.startswith("own-random3-")
    copy = tmp_path / "elsewhere.py"
    copy.write_bytes(EXAMPLE.read_bytes())
    assert zoo.content_key(replace(BRANCHED, factory=f"{copy}:build")) == key
    copy.write_text(copy.read_text() + "\n")
    others = [
        replace(BRANCHED, factory=f"{copy}:build"),
        replace(BRANCHED, factory=f"{EXAMPLE}:other"),
        replace(BRANCHED, seed=4),
        replace(BRANCHED, input_shape=(97, 130, 3)),
    ]
    assert key not in {zoo.content_key(other) for other in others}
    for content in (b"one", b"two"):
        (tmp_path / "net.keras").write_bytes(content)
        found = zoo.content_key(replace(BRANCHED, factory=None, file=str(tmp_path / "net.keras")))
        assert found.startswith("own-file-")
        others.append(found)
    assert others[-1] != others[-2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"factory": None, "file": "/nowhere/net.keras"}, "no file at '/nowhere/net.keras'"),
        ({"factory": None, "file": "/nowhere/net.h5"}, "allowed: a *.keras file"),
        ({"factory": "/nowhere/net.py:build"}, "no file at '/nowhere/net.py'"),
        ({"factory": "no_such_package.nets:build"}, "no module 'no_such_package.nets'"),
        ({"factory": "build"}, "FILE.py:FUNCTION"),
    ],
)
def test_what_is_not_there_is_found_without_tensorflow(change: dict[str, str | None], says: str) -> None:
    with pytest.raises(SpecError, match=r"^model") as caught:
        zoo.content_key(replace(BRANCHED, **change))
    assert says in str(caught.value)


@pytest.mark.tensorflow
def test_branches_and_a_skip_are_cut_where_one_tensor_crosses() -> None:
    model = zoo.build(BRANCHED)
    found = cuts.find_cuts(model)
    names = [type(model.layers[cut.index]).__name__ for cut in found]
    assert names[0] == "Conv2D"
    assert "Concatenate" in names
    assert "Add" in names
    x = zoo.preprocess(BRANCHED, inputs.photograph(BRANCHED.input_shape))
    assert 0 <= x.min() < x.max() <= 1
    whole = np.asarray(model(x))
    for cut in found:
        crossing = slices.head(model, cut.index)(x)
        assert tuple(crossing.shape[1:]) == cut.shape
        np.testing.assert_allclose(np.asarray(slices.tail(model, cut.index)(crossing)), whole, atol=1e-6)


@pytest.mark.tensorflow
def test_a_file_gives_the_model_that_was_saved_and_a_seed_the_same_weights(tmp_path: Path) -> None:
    model = zoo.build(BRANCHED)
    model.save(tmp_path / "net.keras")
    loaded = zoo.build(replace(BRANCHED, factory=None, file=str(tmp_path / "net.keras"), seed=99))
    again = zoo.build(BRANCHED)
    for other in (loaded, again):
        assert all(map(np.array_equal, model.get_weights(), other.get_weights()))
    assert [cut.layer for cut in cuts.find_cuts(loaded)] == [cut.layer for cut in cuts.find_cuts(model)]


@pytest.mark.tensorflow
def test_a_sequential_is_functional_enough(tmp_path: Path) -> None:
    layers = "layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5)"
    model = own.build(of_code(tmp_path, f"return keras.Sequential([keras.Input((97, 131, 3)), {layers}])"))
    assert len(cuts.find_cuts(model)) == 2


@pytest.mark.tensorflow
def test_what_cannot_be_cut_is_one_line(tmp_path: Path) -> None:
    image = "keras.Input((97, 131, 3))"
    cases = {
        "return 3": "gave int",
        f"return keras.Sequential([{image.replace('97', '96')}, layers.Flatten()])": "model.input_shape=[97, 131, 3]",
        "return keras.Sequential([layers.Flatten()])": "no graph to cut",
        f"x = {image}; return keras.Model(x, [layers.Flatten()(x), layers.Flatten()(x)])": "1 inputs and 2 outputs",
        "raise RuntimeError('so it is')": "RuntimeError: so it is",
    }
    for code, says in cases.items():
        with pytest.raises(SpecError) as caught:
            own.build(of_code(tmp_path, code))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match=r"no function 'other'; it has build"):
        own.build(of_code(tmp_path, "pass", "other"))
    asked = replace(
        of_code(tmp_path, f"return keras.Sequential([{image}, layers.Flatten(), layers.Dense(5)])"), classes=7
    )
    with pytest.raises(SpecError, match=r"model\.classes=7"):
        own.build(asked)


@pytest.mark.tensorflow
def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((97, 131, 3))
    unsafe = keras.Model(picture, keras.layers.Lambda(lambda x: x * 2)(picture))
    unsafe.save(tmp_path / "net.keras")
    with pytest.raises(SpecError, match="safe mode"):
        zoo.build(replace(BRANCHED, factory=None, file=str(tmp_path / "net.keras")))


NESTED = """base = keras.Sequential([keras.Input((48, 64, 3)), layers.Conv2D(4, 3, strides=2), layers.ReLU()])
    x = keras.Input((48, 64, 3))
    y = layers.Conv2D(6, 3, padding='same')(base(layers.Rescaling(1.0)(x)))
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(5, activation='softmax')(y))"""


def test_a_model_within_a_model_counts_as_one_layer(tmp_path: Path) -> None:
    spec = replace(of_code(tmp_path, NESTED), input_shape=(48, 64, 3))
    model = zoo.build(spec)
    found = cuts.find_cuts(model)
    assert [own.shape for own in found[:3]] == [(48, 64, 3), (23, 31, 4), (23, 31, 6)]
    x = zoo.preprocess(spec, inputs.photograph(spec.input_shape))
    whole = np.asarray(model(x, training=False))
    for cut in found:
        head, tail = slices.head(model, cut.index), slices.tail(model, cut.index)
        np.testing.assert_allclose(np.asarray(tail(head(x, training=False), training=False)), whole, atol=1e-6)
    features = graph_features(model, found)
    assert sum(own.macs for block in features.blocks for own in block.values()) == 23 * 31 * (27 * 4 + 36 * 6) + 6 * 5


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = keras.Input((9, 9, 3)); return keras.Model(x, layers.Flatten()(x) * 2.0)", "outside a layer"),
        ("x = keras.Input((9, 9, 3)); return keras.Model(x, layers.Flatten()(x))", "has no cut"),
    ],
)
def test_what_no_cut_can_be_told_of_is_one_line(tmp_path: Path, code: str, says: str) -> None:
    model = zoo.build(replace(of_code(tmp_path, code), input_shape=(9, 9, 3)))
    with pytest.raises(SpecError, match=says) as caught:
        cuts.find_cuts(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "base",
    [
        "keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.ReLU()])",
        "type('Block', (keras.Model,), {'__init__': lambda self: (keras.Model.__init__(self), "
        "setattr(self, 'conv', layers.Conv2D(4, 3)))[2:] or None, 'call': lambda self, x: self.conv(x)})()",
    ],
)
def test_a_nested_model_that_keeps_its_shapes_to_itself_is_no_error(tmp_path: Path, base: str) -> None:
    code = f"x = keras.Input((48, 64, 3)); y = layers.GlobalAveragePooling2D()(({base})(x))\n    "
    model = zoo.build(
        replace(of_code(tmp_path, code + "return keras.Model(x, layers.Dense(5)(y))"), input_shape=(48, 64, 3))
    )
    features = graph_features(model, cuts.find_cuts(model))
    assert sum(own.macs for block in features.blocks for own in block.values()) >= 4 * 5
