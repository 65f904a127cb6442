"""A user's own Keras model, from a `.keras` file or from a function that builds it (Keras when called)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import outside
from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.dnn.zoo import ModelSpec

SUFFIX = ".keras"


def content_key(spec: ModelSpec, weights_sha256: str | None) -> str:
    """What decides the model's cost and answers, as `zoo.content_key` says it: the file, or the function's source.

    Raises:
        SpecError: there is no such file or module.
    """
    content: dict[str, Any] = {"input_shape": list(spec.input_shape)}
    if spec.file is not None:
        kind = "file"
        content |= {"file": hashlib.sha256(model_file(spec.file).read_bytes()).hexdigest()}
    else:
        kind = f"random{spec.seed}" if weights_sha256 is None else "weights"
        source, name = _factory(spec)
        content |= {"factory": [outside.digest(source, "model.factory"), name], "seed": spec.seed}
    content["weights"] = weights_sha256
    return f"own-{kind}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"


def model_file(path: str) -> Path:
    """The file at `path`; raises SpecError where there is none, or it is not of Keras' own format."""
    if not path.endswith(SUFFIX):
        raise SpecError(
            f"model.file: got {path!r}; allowed: a *{SUFFIX} file, as model.save writes it (other formats hold code "
            "that would be run)"
        )
    file = Path(path)
    if not file.is_file():
        raise SpecError(f"model.file: no file at {path!r}; give an existing *{SUFFIX} file")
    return file


def build(spec: ModelSpec) -> Any:
    """The Keras model, functional, with one input of `spec.input_shape` and one output.

    A file is read in Keras' safe mode: no code in it is run, and layers that are not Keras' own are refused.

    Raises:
        SpecError: no such file or function, it does not give a functional model, or one of another input.
    """
    import keras

    keras.utils.set_random_seed(spec.seed)
    model = _from_file(keras, spec.file) if spec.file is not None else _from_function(spec)
    where = "model.file" if spec.file is not None else "model.factory"
    if not isinstance(model, keras.Model):
        raise SpecError(f"{where} gave {type(model).__name__}; allowed: a functional keras.Model, or a Sequential")
    if not hasattr(model, "_nodes_by_depth"):  # Sequential has the same graph, one attribute deeper
        try:
            model = keras.Model(model.inputs, model.outputs, name=model.name)
        except (AttributeError, ValueError, TypeError) as error:
            raise SpecError(
                f"{where} gave {type(model).__name__}, which has no graph to cut; allowed: a functional keras.Model, "
                "or a Sequential with an Input"
            ) from error
    _check(model, spec, where)
    return model


def _from_file(keras: Any, path: str) -> Any:
    file = model_file(path)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for a file that it does not like
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpecError(
            f"model.file: {path} cannot be loaded in Keras' safe mode ({first[:300]}); allowed: a file of Keras' own "
            "layers; a model with layers of your own comes by model.factory"
        ) from error


def _from_function(spec: ModelSpec) -> Any:
    source, name = _factory(spec)
    module = outside.load(source, "model.factory")
    function = getattr(module, name, None)
    if not callable(function):
        known = ", ".join(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise SpecError(f"model.factory: {source} has no function {name!r}; it has {known or 'none'}")
    try:
        return function()
    except Exception as error:  # whatever the user's code raises
        raise SpecError(f"model.factory: {name}() raised {type(error).__name__}: {error}") from error


def _factory(spec: ModelSpec) -> tuple[str, str]:
    return outside.attribute(spec.factory or "", Path.cwd(), "model.factory")


def _check(model: Any, spec: ModelSpec, where: str) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise SpecError(f"{where} gave {len(model.inputs)} inputs and {len(model.outputs)} outputs; allowed: one each")
    takes = tuple(model.inputs[0].shape[1:])
    if takes != spec.input_shape:
        raise SpecError(
            f"model.input_shape={list(spec.input_shape)}, and {where} gave a model of {list(takes)}; allowed: the same "
            "height, width and 3 channels, none of them left open"
        )
    classes = model.outputs[0].shape[-1]
    if spec.classes_asked is not None and classes != spec.classes_asked:
        raise SpecError(f"model.classes={spec.classes_asked}, and {where} gave a model of {classes}; allowed: the same")
