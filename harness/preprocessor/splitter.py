"""The Splitter (paper, section 3.4): exports the two halves of a TLModel, ready to be run on device and edge.

    python -m harness.preprocessor.splitter < request.json

runs `export` in a process of its own (whoever measures must not have TensorFlow loaded); see `main`.
Importing this module does not import TensorFlow; only the calls do.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from harness.dnn import inputs, zoo
from harness.errors import HarnessError, SpecError
from harness.preprocessor import manifest, onnx_export, repository
from harness.preprocessor.inserter import insert
from harness.preprocessor.manifest import Manifest, Tensor
from harness.preprocessor.splitting import Halves, split
from harness.results.schema import Key
from harness.transfer import layers, wire

#: By how much class scores of the reloaded halves may differ from the TLModel's.
TOLERANCE = 1e-5
_VERSIONS = ("tensorflow", "keras", "numpy", "onnx", "tf2onnx", "onnxruntime")

Advance = Callable[[str, float], None]


@dataclass(frozen=True)
class Order:
    """What to deploy.

    model           network and preprocessing; its weights unless `trained` has them
    key             the candidate: cut, transfer layer, wire format
    trained         TLModel that the Trainer left (.keras); None: the model as it is, with an untrained transfer layer
    accuracy        what is known of it, for the manifest
    onnx            also export the edge half as ONNX
    """

    model: zoo.ModelSpec
    key: Key
    trained: Path | None = None
    accuracy: Mapping[str, Any] | None = None
    onnx: bool = True


def export(order: Order, folder: Path, advance: Advance = lambda _what, _share: None) -> Manifest:
    """Write a deployment into `folder` and its manifest last, so that what has one is whole.

    Args:
        advance: told (what is being done, share of it done).

    Raises:
        SpecError: no such cut, a transfer layer that cannot stand there, a TLModel of another cut or model.
        HarnessError: what was written does not give the TLModel's output when it is read again.
        CapabilityError: ONNX is asked for and the packages that export it are missing.
    """
    if order.onnx and onnx_export.omitted_because(order.key.wire_format) is None:
        onnx_export.require()
    _clear(folder)
    advance("building the TLModel", 0.0)
    tl_model = _trained(order) if order.trained is not None else _untrained(order)
    halves = split(tl_model, order.key.split or 0)
    _require_fitting(order, halves)
    advance("building the TLModel", 1.0)
    for name, half in ((manifest.DEVICE, halves.device), (manifest.EDGE, halves.edge)):
        _require_stock_layers(half, order.key)
        half.save(folder / name)
    error = _reload_error(tl_model, halves, folder, order.model)
    name = triton_name(order.model.name, order.key)
    payload_shape = (1, *halves.device.output.shape[1:])
    repository.lay_out_python(
        folder / manifest.PYTHON_REPOSITORY,
        name,
        edge=folder / manifest.EDGE,
        wire_format=order.key.wire_format,
        payload_shape=payload_shape,
    )
    onnx = _export_onnx(order, halves, folder, name, advance)
    return manifest.write(folder, _describe(order, halves, name, onnx, error))


def triton_name(model: str, key: Key) -> str:
    """The name of a candidate's model in Triton: letters, digits and underscores."""
    return re.sub(r"\W+", "_", f"{model}_{key.split}_{key.transfer_layer}_{key.wire_format}")


def main() -> None:
    """Read {folder, model, key, trained, accuracy, onnx} as JSON from standard input and export."""
    from harness.preprocessor import worker

    def work(request: dict[str, Any], advance: Advance) -> dict[str, Any]:
        order = Order(
            zoo.ModelSpec.of(request["model"]),
            Key.parse(request["key"]),
            Path(request["trained"]) if request["trained"] else None,
            request["accuracy"],
            request["onnx"],
        )
        return asdict(export(order, Path(request["folder"]), advance))

    worker.serve(work)


# -- the TLModel ----------------------------------------------------------------------------------------


def _untrained(order: Order) -> Any:
    return insert(
        zoo.build(order.model), order.key.split or 0, layers.get(order.key.transfer_layer, seed=order.model.seed)
    )


def _trained(order: Order) -> Any:
    import keras

    path = order.trained
    if path is None or not path.is_file():
        raise SpecError(f"deploy.trained: no file at {str(path)!r}; give the TLModel that mode=train left, or null")
    import harness.transfer.twins  # noqa: F401  (registers them: Keras loads no other layers that are not its own)

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for a file that it cannot read, or will not run
        raise SpecError(
            f"deploy.trained: {str(path)!r} is no Keras model that can be loaded safely "
            f"({' '.join(str(error).split())[:200]}); give the TLModel that mode=train left"
        ) from error


def _require_fitting(order: Order, halves: Halves) -> None:
    """Raise SpecError where a trained TLModel is not what the spec names."""
    given = tuple(halves.device.input.shape[1:])
    if given != tuple(order.model.input_shape):
        raise SpecError(
            f"deploy.trained: the TLModel takes pictures of {list(given)}, model.input_shape is "
            f"{list(order.model.input_shape)}; give the model, and the size, that it was trained for"
        )
    expected = layers.get(order.key.transfer_layer).payload_shape(halves.cut.shape)
    found = tuple(halves.device.output.shape[1:])
    if found != expected:
        raise SpecError(
            f"deploy.trained: the TLModel sends {list(found)} at cut {halves.cut.index}, transfer_layer "
            f"{order.key.transfer_layer} sends {list(expected)}; give the transfer layer that it was trained with"
        )
    if order.trained is not None:
        _require_format(order, halves)


def _require_format(order: Order, halves: Halves) -> None:
    """Raise SpecError where a trained TLModel was trained through another wire format than the spec names."""
    from harness.transfer.twins import twin

    wanted = twin(wire.get(order.key.wire_format))
    looks = [
        None if each is None else (type(each).__name__, getattr(each, "percentile", None))
        for each in (wanted, halves.twin)
    ]
    if looks[0] != looks[1]:
        found = "float32" if looks[1] is None else looks[1][0].removesuffix("Twin").lower()
        raise SpecError(
            f"deploy.trained: the TLModel was trained through {found}"
            f"{f' (percentile {looks[1][1]:g})' if looks[1] and looks[1][1] not in (None, 100) else ''}, wire_format "
            f"{order.key.wire_format} is another; give the wire format that it was trained with"
        )


# -- files ----------------------------------------------------------------------------------------------


def _clear(folder: Path) -> None:
    """Remove an earlier deployment, its manifest first."""
    for name in (manifest.MANIFEST, manifest.DEVICE, manifest.EDGE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / manifest.REPOSITORIES, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _require_stock_layers(model: Any, key: Key) -> None:
    """Raise SpecError where a half has a layer that only this harness could load."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            _require_stock_layers(layer, key)
        elif not type(layer).__module__.startswith("keras."):
            raise SpecError(
                f"transfer_layer {key.transfer_layer}: its layer {type(layer).__name__} is not Keras's own, so that a "
                "server without this harness could not load it; allowed: layers made of Keras's"
            )


def _reload_error(tl_model: Any, halves: Halves, folder: Path, spec: zoo.ModelSpec) -> float:
    """Greatest difference in class scores between the halves on disk and the TLModel, on a photograph and on noise."""
    import keras

    device, edge = (
        keras.models.load_model(folder / name, compile=False, safe_mode=True)
        for name in (manifest.DEVICE, manifest.EDGE)
    )
    noise = np.random.default_rng(0).integers(0, 256, (1, *spec.input_shape), dtype=np.uint8)
    error = 0.0
    for picture in (inputs.photograph(spec.input_shape), noise):
        x = zoo.preprocess(spec, picture)
        payload = device(x, training=False)
        arrived = payload if halves.twin is None else halves.twin(payload)
        difference = np.asarray(edge(arrived, training=False)) - np.asarray(tl_model(x, training=False))
        error = max(error, float(np.abs(difference).max()))
    if not error <= TOLERANCE:  # also where it is no number
        raise HarnessError(
            f"the exported halves give class scores {error:.2g} off the TLModel's, more than {TOLERANCE:g}; "
            "report this with the spec.yaml of the cell"
        )
    return error


def _export_onnx(order: Order, halves: Halves, folder: Path, name: str, advance: Advance) -> dict[str, Any]:
    reason = "not asked for" if not order.onnx else onnx_export.omitted_because(order.key.wire_format)
    if reason is not None:
        return {"omitted_because": reason}
    advance("exporting ONNX", 0.0)
    shape = (1, *halves.device.output.shape[1:])
    path = repository.lay_out_onnx(
        folder / manifest.ONNX_REPOSITORY, name, payload_shape=shape, classes=int(halves.edge.output.shape[-1])
    )
    record = onnx_export.export(halves.edge, path)
    advance("exporting ONNX", 1.0)
    return record


def _describe(order: Order, halves: Halves, name: str, onnx: Mapping[str, Any], error: float) -> Manifest:
    spec = order.model
    shapes = {
        "input": spec.input_shape,
        "cut": halves.cut.shape,
        "payload": halves.device.output.shape[1:],
        "output": halves.edge.output.shape[1:],
    }
    payload_shape = (1, *shapes["payload"])
    return Manifest(
        model={
            "name": spec.name,
            "architecture": spec.architecture or "own",
            "input_shape": list(spec.input_shape),
            "preprocessing": spec.preprocessing,
            "weights": "trained TLModel" if order.trained else spec.weights or spec.file or f"random, seed {spec.seed}",
            "content": None if order.trained else zoo.content_key(spec),
        },
        candidate=str(order.key),
        layer=halves.cut.layer,
        tensors={each: Tensor((1, *map(int, shape)), "float32") for each, shape in shapes.items()},
        payload_bytes=wire.get(order.key.wire_format).payload_bytes(tuple(map(int, payload_shape))),
        triton_model=name,
        onnx=onnx,
        reload_error=error,
        accuracy=order.accuracy,
        versions={"python": platform.python_version(), **_versions()},
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
