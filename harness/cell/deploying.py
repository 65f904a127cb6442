"""mode=deploy: the two halves of a cell's TLModel into its folder, by the Splitter in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.cell import encodings, workers
from harness.cell.cache import ProfileCache, model_spec
from harness.cell.evidence import circumstances_of, gather
from harness.cell.forecasting import best_of_own, forecast
from harness.dnn import zoo
from harness.errors import HarnessError, SpecError
from harness.prediction.circumstances import Circumstances
from harness.report.progress import Steps
from harness.results.accuracy import ACCURACY, TL_MODEL
from harness.results.records import SUMMARY, read_json, write_json
from harness.results.schema import Key
from harness.spec import Spec
from harness.spec.fields import from_project
from harness.testbed.link import link_spec
from harness.transfer import wire
from harness.validation.statistics import candidate_name


def check(spec: Spec) -> None:
    """Find what is wrong before anything is started.

    Raises:
        SpecError: no cut is given and no profile predicts the best one; no such weights file or trained TLModel; it was
            trained for another candidate or another size of pictures.
    """
    zoo.content_key(model_spec(spec))
    key, path = candidate(spec), trained(spec)
    if path is not None:
        _require_as_trained(spec, key, path)


def run(spec: Spec, folder: Path) -> None:
    """Export, and say what was exported. Raises as the Splitter's `export` does."""
    key = candidate(spec)
    path = trained(spec)
    request = {
        "folder": str(folder.absolute()),
        "model": asdict(model_spec(spec)),
        "key": str(key),
        "trained": str(path) if path is not None else None,
        "accuracy": _accuracy(path),
        "onnx": spec.deploy.onnx,
    }
    with Steps() as steps:
        made = workers.run(
            "harness.preprocessor.splitter", request, log=folder / "logs" / "splitter.log", advance=steps
        )
    write_json(folder / SUMMARY, {"verdict": None, "deployment": {**made, "files": len(made["files"])}})
    shape = f"model.input_shape={list(spec.model.input_shape)}".replace(" ", "")
    print("\n".join(_lines(made, key, folder, [*named(spec), shape])), flush=True)


def candidate(spec: Spec) -> Key:
    """What is deployed: the cell's encoding at `split`, or at the best cut that the cached profile predicts for it.

    Raises:
        SpecError: `split` is null and nothing predicts it, or no cut is feasible.
    """
    if spec.split is not None:
        return encodings.own(spec).key(spec.split)
    profiles = ProfileCache(spec).profiles()
    if profiles is None:
        raise SpecError(
            f"split=null: the best cut of {spec.model.name} on hardware={spec.hardware.name} is predicted from a "
            "profile, and there is none; give split=INDEX, or make one with: python run.py mode=profile "
            f"model={spec.model.name} hardware={spec.hardware.name}"
        )
    rows = forecast(spec, gather(spec, profiles), link_spec(spec), circumstances_of(spec) or Circumstances())
    best = best_of_own(rows, spec)
    if best is None:
        raise SpecError(f"split=null: no cut of {spec.model.name} is feasible under the constraints; give split=INDEX")
    return best


def trained(spec: Spec) -> Path | None:
    """The trained TLModel's file, None where the model is deployed as it is. Raises SpecError where there is none."""
    if spec.deploy.trained is None:
        return None
    path = from_project(spec.deploy.trained)
    file = path / TL_MODEL if path.is_dir() else path
    if not file.is_file():
        raise SpecError(
            f"deploy.trained: {'no ' + TL_MODEL + ' in' if path.is_dir() else 'no file at'} {spec.deploy.trained}; "
            "give the folder of a mode=train run or a TLModel (.keras), or null"
        )
    return file


def _require_as_trained(spec: Spec, key: Key, path: Path) -> None:
    """Raise SpecError where the record beside a TLModel says that it was trained as something else.

    An entropy stage may differ: it loses nothing, and where it does (jpeg) it cannot be trained for.
    """
    record = _accuracy(path) or {}
    for name, option, wanted in (
        ("split", "split", key.split),
        ("transfer_layer", "transfer_layer", key.transfer_layer),
        ("wire_format", "wire_format", numeric_stage(key.wire_format)),
        ("input_shape", "model.input_shape", list(spec.model.input_shape)),
    ):
        found = record.get(name)
        found = numeric_stage(found) if name == "wire_format" and isinstance(found, str) else found
        if found is not None and found != wanted:
            raise SpecError(
                f"deploy.trained={spec.deploy.trained}: it was trained with {option}={found}, given is "
                f"{option}={wanted}; give what it was trained with, or train it anew"
            )


def numeric_stage(wire_format: str) -> str:
    """Of a wire format's label, what the model was trained through: its first stage."""
    return wire_format.removesuffix(wire.FORCED).partition("+")[0]


def _accuracy(path: Path | None) -> dict[str, Any] | None:
    """What the Trainer's record beside a TLModel says of its accuracy."""
    if path is None:
        return None
    try:
        found = read_json(path.with_name(ACCURACY))
    except HarnessError:
        return None  # what is deployed does not depend on it
    return {name: value for name, value in found.items() if name != "history"} or None


def named(spec: Spec) -> list[str]:
    """The arguments that name the cell's network."""
    model = spec.model
    if model.architecture is not None:
        return [f"model={model.name}"]
    source = f"model.file={model.file}" if model.file is not None else f"model.factory={model.factory}"
    return ["model=own", f"model.name={model.name}", source]


def _lines(made: dict[str, Any], key: Key, folder: Path, named: Sequence[str]) -> list[str]:
    onnx = made["onnx"]
    error = onnx.get("max_abs_error")
    native = onnx.get("omitted_because") or (
        f"opset {onnx['opset']}, " + ("not compared" if error is None else f"within {error:.1g} of Keras")
    )
    return [
        f"Deployed {candidate_name(key)} of {made['model']['name']}, cut after {made['layer']}, to {folder}",
        f"  device.keras, edge.keras: reloaded within {made['reload_error']:.1g} of the TLModel",
        f"  triton/python/{made['triton_model']}: for a Triton with the python backend, TensorFlow and Keras",
        f"  triton/onnx: {native}",
        f"Run it: python run.py mode=measure {' '.join(named)} hardware.edge.endpoint=per_cut "
        f"hardware.edge.deployment={folder}",
    ]
