"""The Splitter: two files that together are the TLModel, and a repository that needs nothing of the harness."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.dnn import inputs, zoo
from harness.errors import CapabilityError, SpecError
from harness.preprocessor import manifest, onnx_export, repository, splitter, worker
from harness.preprocessor.inserter import insert
from harness.preprocessor.splitter import Order
from harness.preprocessor.splitting import split
from harness.results.schema import Key
from harness.transfer import layers

pytestmark = pytest.mark.tensorflow

SPEC = zoo.ModelSpec("mobilenetv2", "MobileNetV2", (96, 96, 3), "tf", seed=3)
KEY = Key("split", 35, "maxpool", "float32")


def small() -> Any:
    """A network with odd sizes and a branch: 15 x 15 at its only inner cut with spatial axes."""
    import keras

    keras.utils.set_random_seed(5)
    x = keras.Input((31, 31, 3))
    y = keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="stem")(x)
    a = keras.layers.Conv2D(4, 3, padding="same", name="a")(y)
    b = keras.layers.Conv2D(4, 1, name="b")(y)
    y = keras.layers.Add(name="joined")([a, b])
    y = keras.layers.GlobalAveragePooling2D(name="pooled")(y)
    return keras.Model(x, keras.layers.Dense(7, activation="softmax", name="scores")(y), name="small")


def noise(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((2, *shape), dtype=np.float32)


@pytest.mark.parametrize("layer", ["none", "maxpool"])
@pytest.mark.parametrize("cut", [1, 4])
def test_both_halves_in_a_row_are_the_tlmodel(layer: str, cut: int, tmp_path: Path) -> None:
    import keras

    model = small()
    tl_model = insert(model, cut, layers.get(layer))
    halves = split(tl_model, cut)
    assert halves.cut.layer == model.layers[cut].name
    assert tuple(halves.device.output.shape[1:]) == layers.get(layer).payload_shape(halves.cut.shape)
    x = noise((31, 31, 3))
    expected = np.asarray(tl_model(x, training=False))
    np.testing.assert_allclose(np.asarray(halves.edge(halves.device(x))), expected, atol=1e-6)
    halves.device.save(tmp_path / "device.keras")
    halves.edge.save(tmp_path / "edge.keras")
    device, edge = (keras.models.load_model(tmp_path / f"{name}.keras", safe_mode=True) for name in ("device", "edge"))
    np.testing.assert_allclose(np.asarray(edge(device(x))), expected, atol=1e-6)


def test_a_tlmodel_is_split_where_its_transfer_layer_is() -> None:
    tl_model = insert(small(), 1, layers.get("maxpool"))
    elsewhere = next(index for index, layer in enumerate(tl_model.layers) if layer.name == "joined")
    with pytest.raises(SpecError, match=r"split=\d+ \(joined\): the transfer layer of this model stands after stem"):
        split(tl_model, elsewhere)
    with pytest.raises(SpecError, match="is no cut"):
        split(tl_model, next(index for index, layer in enumerate(tl_model.layers) if layer.name == "a"))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed")
    splitter.export(Order(SPEC, KEY, accuracy={"top1": 0.5}, onnx=False), folder)
    return folder


def test_an_export_reloaded_gives_the_tlmodels_output(deployed: Path) -> None:
    import keras

    found = manifest.load(deployed).manifest
    assert found.key == KEY
    assert found.reload_error <= splitter.TOLERANCE
    assert found.accuracy == {"top1": 0.5}
    assert found.onnx == {"omitted_because": "not asked for"}
    assert found.tensors["payload"].shape == (1, 6, 6, 32)
    assert found.payload_bytes == 6 * 6 * 32 * 4
    assert found.model["content"] == zoo.content_key(SPEC)
    tl_model = insert(zoo.build(SPEC), KEY.split or 0, layers.get("maxpool"))
    device, edge = (
        keras.models.load_model(deployed / name, compile=False, safe_mode=True)
        for name in ("device.keras", "edge.keras")
    )
    x = zoo.preprocess(SPEC, inputs.photograph(SPEC.input_shape))
    expected = np.asarray(tl_model(x, training=False))
    got = np.asarray(edge(device(x, training=False), training=False))
    assert np.abs(got - expected).max() <= 1e-5
    assert np.abs(got - expected).max() < 1e-3 * np.ptp(expected)


def test_the_repository_needs_nothing_of_the_harness(deployed: Path) -> None:
    """In an isolated Python that has no way to find it."""
    (model,) = (deployed / "triton" / "python").iterdir()
    assert model.name == manifest.load(deployed).manifest.triton_model == splitter.triton_name("mobilenetv2", KEY)
    assert f'name: "{model.name}"' in (model / "config.pbtxt").read_text()
    version = model / "1"
    assert json.loads((version / "settings.json").read_text()) == {
        "wire_format": "float32",
        "payload_shape": [1, 6, 6, 32],
    }
    script = (
        "import sys; sys.path[:] = [path for path in sys.path if 'python3' in path]\n"
        f"sys.path.insert(0, {str(version)!r}); sys.dont_write_bytecode = True\n"
        "import importlib.util, numpy\n"
        "assert importlib.util.find_spec('harness') is None\n"
        "from scission_wire.transfer import wire\n"
        "array = numpy.arange(1152, dtype=numpy.float32).reshape(1, 6, 6, 32)\n"
        "payload = wire.get('float32').serialize(array)\n"
        "assert (wire.get('float32').deserialize(payload, (1, 6, 6, 32)) == array).all()\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('harness', 'keras', 'tensorflow')]\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "harness" not in (version / "model.py").read_text().replace("nothing of the harness", "")
    assert manifest.load(deployed)


def test_every_wire_format_is_shipped_whole() -> None:
    shipped = dict(repository.shipped_modules())
    assert Path("scission_wire/transfer/wire.py") in shipped
    assert Path("scission_wire/__init__.py") in shipped
    for path, source in shipped.items():
        compile(source, str(path), "exec")
        imports = [line for line in source.splitlines() if line.strip().startswith(("import ", "from "))]
        assert not [line for line in imports if "harness" in line], path


def test_a_trained_tlmodel_is_deployed_and_another_one_refused(tmp_path: Path) -> None:
    tl_model = insert(zoo.build(SPEC), 35, layers.get("maxpool"))
    tl_model.get_layer("predictions").bias.assign(np.linspace(0, 1, 1000, dtype=np.float32))
    path = tmp_path / "tl_model.keras"
    tl_model.save(path)
    found = splitter.export(Order(SPEC, KEY, trained=path, onnx=False), tmp_path / "cell")
    assert found.model["weights"] == "trained TLModel"
    assert found.model["content"] is None
    cases = [
        (
            Order(SPEC, Key("split", 35, "none"), trained=path, onnx=False),
            "give the transfer layer that it was trained",
        ),
        (Order(SPEC, Key("split", 9, "maxpool"), trained=path, onnx=False), "stands after"),
        (Order(SPEC, replace(KEY, wire_format="uint8"), trained=path, onnx=False), "was trained through float32"),
        (Order(zoo.ModelSpec("m", "M", (64, 64, 3), "tf"), KEY, trained=path, onnx=False), "takes pictures of"),
        (Order(SPEC, KEY, trained=tmp_path / "missing.keras", onnx=False), "no file at"),
    ]
    for order, reason in cases:
        with pytest.raises(SpecError, match=reason) as caught:
            splitter.export(order, tmp_path / "refused")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "refused" / "manifest.json").exists()


def test_a_file_that_is_no_model_or_holds_code_is_refused(tmp_path: Path) -> None:
    import keras

    (tmp_path / "noise.keras").write_bytes(b"not a model")
    x = keras.Input((96, 96, 3))
    keras.Model(x, keras.layers.Lambda(lambda y: y * 2)(x)).save(tmp_path / "code.keras")
    for name in ("noise.keras", "code.keras"):
        with pytest.raises(SpecError, match="no Keras model that can be loaded safely") as caught:
            splitter.export(Order(SPEC, KEY, trained=tmp_path / name, onnx=False), tmp_path / "refused")
        assert "\n" not in str(caught.value)


def test_a_layer_of_ours_is_refused_since_no_server_could_load_it() -> None:
    import keras

    class Ours(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    x = keras.Input((4, 4, 3))
    with pytest.raises(SpecError, match="its layer Ours is not Keras's own"):
        splitter._require_stock_layers(keras.Model(x, keras.Model(x, Ours()(x))(x)), KEY)


# -- ONNX -----------------------------------------------------------------------------------------------


def test_the_edge_half_as_onnx_gives_kerass_scores(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("tf2onnx")
    halves = split(insert(small(), 1, layers.get("maxpool")), 1)
    path = repository.lay_out_onnx(tmp_path, "small_1", payload_shape=(1, 8, 8, 6), classes=7)
    record = onnx_export.export(halves.edge, path)
    assert record["max_abs_error"] <= onnx_export.TOLERANCE
    config = (tmp_path / "small_1" / "config.pbtxt").read_text()
    assert "dims: [ -1, 8, 8, 6 ]" in config
    assert "dims: [ -1, 7 ]" in config
    graph = onnx.load(str(path)).graph
    assert ([each.name for each in graph.input], [each.name for each in graph.output]) == (["PAYLOAD"], ["OUTPUT"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    payload = np.asarray(halves.device(noise((31, 31, 3)), training=False))
    (scores,) = session.run(["OUTPUT"], {"PAYLOAD": payload})
    np.testing.assert_allclose(scores, np.asarray(halves.edge(payload, training=False)), atol=1e-5)


def test_onnx_is_only_for_payloads_that_are_plain_tensors() -> None:
    assert onnx_export.omitted_because("float32") is None
    for name in ("float16", "uint8", "uint8+zlib", "float32+zstd"):
        assert "no plain tensor" in str(onnx_export.omitted_because(name))


def test_missing_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(CapabilityError, match=r"needs onnx and tf2onnx.*deploy\.onnx=false") as caught:
        onnx_export.require()
    assert "\n" not in str(caught.value)


# -- the process ----------------------------------------------------------------------------------------


def test_what_the_process_answers_is_json_whatever_libraries_print() -> None:
    script = (
        "from harness.errors import SpecError\n"
        "from harness.preprocessor import worker\n"
        "def work(request, advance):\n"
        "    print('a library says hello'); advance('working', 0.5)\n"
        "    if request['kind'] == 'spec': raise SpecError('no such\\n cut')\n"
        "    if request['kind'] == 'crash': raise ZeroDivisionError('by zero')\n"
        "    return {'sum': 3}\n"
        "worker.serve(work)\n"
    )
    expected = {
        "fine": (0, {"result": {"sum": 3}}),
        "spec": (1, {"error": ["SpecError", "no such cut"]}),
        "crash": (1, {"error": ["crash", "ZeroDivisionError: by zero"]}),
    }
    for kind, (code, last) in expected.items():
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps({"kind": kind}),
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [json.loads(line) for line in io.StringIO(done.stdout)]
        assert lines == [{"advance": ["working", 0.5]}, last]
        assert done.returncode == code
        assert "a library says hello" in done.stderr
    assert worker.serve
