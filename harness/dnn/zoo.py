"""Which Keras model, with which weights, fed with which pixels.

Importing this module does not import TensorFlow; only `build` does.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import own
from harness.errors import CapabilityError, HarnessError, SpecError

#: keras.applications' names of its three preprocessings (keras.applications.imagenet_utils), and for models of other
#: origin 0..1 and the bare pixels.
PREPROCESSING = ("tf", "torch", "caffe", "unit", "raw")
#: ImageNet's channel statistics as in keras.applications: RGB in 0..1 for torch, BGR in 0..255 for caffe.
TORCH_MEAN = (0.485, 0.456, 0.406)
TORCH_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)
IMAGENET_CLASSES = 1000
#: What `load_weights` of Keras reads; all of them hold arrays only, no code is ever deserialised.
WEIGHT_SUFFIXES = (".weights.h5", ".h5", ".keras")
#: Counts up whenever the same seed would give other random weights.
RANDOM_WEIGHTS_VERSION = 1


@dataclass(frozen=True)
class ModelSpec:
    """A model of the zoo.

    name           as in the authors' tool, e.g. `densenet169`
    architecture   constructor in `keras.applications`, e.g. `DenseNet169`; None: a model of the user's own
    input_shape    (height, width, channels) of one picture
    preprocessing  one of `PREPROCESSING`
    weights        None (random, from `seed`), "imagenet", or a file as `load_weights` reads it
    seed           of random weights; without meaning for the others
    landmarks      cuts that are always measured, as Keras layer indices
    classes        of the scores
    file           a user's own model: a .keras file, absolute
    factory        or what builds it, `SOURCE:FUNCTION` (`harness.outside`)
    """

    name: str
    architecture: str | None
    input_shape: tuple[int, int, int]
    preprocessing: str
    weights: str | None = None
    seed: int = 0
    landmarks: tuple[int, ...] = ()
    classes: int = IMAGENET_CLASSES
    file: str | None = None
    factory: str | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ModelSpec:
        """What one process tells another, as JSON has it; which cuts are always measured is no part of it."""
        return cls(**{**record, "input_shape": tuple(record["input_shape"]), "landmarks": ()})

    @property
    def own(self) -> bool:
        """Whether it is a model of the user's, not one of Keras Applications."""
        return self.file is not None or self.factory is not None

    @property
    def pretrained(self) -> bool:
        """Whether its weights mean something, as far as the spec tells."""
        return self.weights is not None or self.file is not None

    @property
    def classes_asked(self) -> int | None:
        """Classes that somebody asked for; None: as many as the model has."""
        return self.classes if self.classes != IMAGENET_CLASSES else None


def from_config(mapping: Mapping[str, Any]) -> ModelSpec:
    """A `ModelSpec` from the keys of `conf/model/*.yaml`, plus `seed`.

    Raises:
        SpecError: a key is unknown or missing, a value has the wrong type or range.
    """
    allowed = [field.name for field in dataclasses.fields(ModelSpec)]
    for key in mapping:
        if key not in allowed:
            raise SpecError(f"model: unknown key {key!r}; allowed: {', '.join(allowed)}{_nearest(str(key), allowed)}")
    missing = [key for key in ("name", "input_shape", "preprocessing") if key not in mapping]
    if missing:
        raise SpecError(f"model: {', '.join(missing)} missing, got {', '.join(map(str, mapping))}; add to conf/model")
    shape = tuple(mapping["input_shape"])
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape) or shape[2] != 3:
        raise SpecError(f"model.input_shape: got {list(shape)}; allowed: [height, width, 3], positive integers")
    mode = mapping["preprocessing"]
    if mode not in PREPROCESSING:
        raise SpecError(f"model.preprocessing: got {mode!r}; allowed: {', '.join(PREPROCESSING)}")
    weights = mapping.get("weights")
    if weights is not None and not isinstance(weights, str):
        raise SpecError(f"model.weights: got {weights!r}; allowed: null, imagenet, or the path of a weights file")
    landmarks = tuple(mapping.get("landmarks") or ())
    if not all(isinstance(index, int) and index > 0 for index in landmarks):
        raise SpecError(f"model.landmarks: got {list(landmarks)}; allowed: positive layer indices")
    seed = mapping.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise SpecError(f"seed: got {seed!r}; allowed: an integer from 0 to 4294967295")
    classes = mapping.get("classes") or IMAGENET_CLASSES
    if not isinstance(classes, int) or classes < 2:
        raise SpecError(f"model.classes: got {classes!r}; allowed: an integer from 2, or null for ImageNet's 1000")
    sources = [mapping.get(key) for key in ("architecture", "file", "factory")]
    if sum(source is not None for source in sources) != 1:
        raise SpecError("model: one of architecture, file and factory says what it is; see conf/model/own.yaml")
    architecture, file, factory = (None if source is None else str(source) for source in sources)
    name = str(mapping["name"])
    return ModelSpec(name, architecture, shape, mode, weights, seed, landmarks, classes, file, factory)


def content_key(spec: ModelSpec) -> str:
    """What decides a model's cost and answers, as a short text: equal keys mean equal networks.

    Example: `DenseNet169-random0-3f2a9c…`. The readable part is the architecture and the kind of weights; the
    hash also covers the input size and a weights file's content.

    Raises:
        SpecError: `spec.weights` is a file that does not exist or has another suffix.
    """
    if spec.own:
        weights = None if spec.weights is None else weights_file(spec.weights)
        return own.content_key(spec, None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest())
    content: dict[str, Any] = {"architecture": spec.architecture, "input_shape": list(spec.input_shape)}
    if spec.classes != IMAGENET_CLASSES:  # left out, as before there was a choice: profiles keep their names
        content["classes"] = spec.classes
    if spec.weights is None:
        kind = f"random{spec.seed}"
        content["weights"] = [kind, RANDOM_WEIGHTS_VERSION]
    elif spec.weights == "imagenet":
        kind = "imagenet"
        content["weights"] = [kind]
    else:
        kind = "file"
        with weights_file(spec.weights).open("rb") as file:
            content["weights"] = [kind, hashlib.file_digest(file, "sha256").hexdigest()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{spec.architecture}-{kind}-{digest[:16]}"


def weights_file(path: str) -> Path:
    """The weights file at `path`; raises SpecError where there is none, or Keras would not read it."""
    file = Path(path).expanduser()
    if not file.name.endswith(WEIGHT_SUFFIXES):
        raise SpecError(f"model.weights: got {path!r}; allowed: null, imagenet, or a *{', *'.join(WEIGHT_SUFFIXES)}")
    if not file.is_file():
        raise SpecError(f"model.weights: no file at {path!r}; give an existing weights file, null or imagenet")
    return file


def preprocess(spec: ModelSpec, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels as the model wants them; bit for bit keras.applications' `preprocess_input`, without TensorFlow.

    Args:
        images: uint8 RGB [batch, height, width, 3].

    Returns:
        float32 [batch, height, width, 3]: -1..1 (tf), standardised RGB (torch) or zero-centred BGR (caffe), 0..1
        (unit) or 0..255 (raw).

    Raises:
        SpecError: `spec.preprocessing` is not one of `PREPROCESSING`.
    """
    x = images.astype(np.float32)
    if spec.preprocessing == "tf":
        x /= np.float32(127.5)
        x -= np.float32(1)
    elif spec.preprocessing == "torch":
        x /= np.float32(255)
        x -= np.asarray(TORCH_MEAN, np.float32)
        x /= np.asarray(TORCH_STD, np.float32)
    elif spec.preprocessing == "unit":
        x /= np.float32(255)
    elif spec.preprocessing == "caffe":
        x = np.ascontiguousarray(x[..., ::-1])
        x -= np.asarray(CAFFE_MEAN, np.float32)
    elif spec.preprocessing != "raw":
        raise SpecError(f"model.preprocessing: got {spec.preprocessing!r}; allowed: {', '.join(PREPROCESSING)}")
    return x


def build(spec: ModelSpec) -> Any:
    """The Keras model: float32 [batch, height, width, channels] to softmax scores [batch, classes].

    Random weights depend on `spec.seed` alone, not on the process; drawing them seeds the random generators
    of Python, NumPy and TensorFlow. Files are read as plain arrays into the architecture, so no code stored
    in one can run.

    Raises:
        SpecError: no such architecture, an input size it cannot take, no such file, weights of another model.
        CapabilityError: "imagenet" weights are neither cached nor to be had over the network.
    """
    import keras

    if spec.own:
        model = own.build(spec)
        if spec.weights is not None:
            _load(model, weights_file(spec.weights), spec)
        return model
    architecture = spec.architecture or ""
    constructor = getattr(keras.applications, architecture, None)
    if constructor is None or not architecture[:1].isupper():
        known = [name for name in dir(keras.applications) if name[:1].isupper()]
        raise SpecError(
            f"model.architecture: keras.applications has no {architecture!r}{_nearest(architecture, known)}"
        )
    file = None if spec.weights in (None, "imagenet") else weights_file(str(spec.weights))
    keras.utils.set_random_seed(spec.seed)
    try:
        model = constructor(
            input_shape=spec.input_shape,
            weights="imagenet" if spec.weights == "imagenet" else None,
            classes=spec.classes,
        )
    except Exception as error:
        raise _construction_error(spec, error) from error
    if file is not None:
        _load(model, file, spec)
    elif spec.weights is None:
        _redraw_depthwise(model, spec.seed)
    return model


def _load(model: Any, file: Path, spec: ModelSpec) -> None:
    try:
        with warnings.catch_warnings():
            # Printed once per layer before the one error that says it all.
            warnings.filterwarnings("ignore", message="Skipping nested container")
            model.load_weights(file)
    except Exception as error:  # Keras and h5py raise many types for a file that does not fit
        raise SpecError(
            f"model.weights: {str(file)!r} does not fit {spec.architecture or spec.name} ({_first_line(error)}); "
            f"give weights saved from that architecture with {spec.classes} classes"
        ) from error


def _construction_error(spec: ModelSpec, error: Exception) -> HarnessError:
    """What a failed constructor of keras.applications means for the user."""
    if spec.weights == "imagenet" and not isinstance(error, ValueError):
        return CapabilityError(
            f"model.weights=imagenet: {spec.architecture}'s weights are not in Keras' cache and could not be "
            f"fetched ({_first_line(error)}); give a weights file, use null, or run once with a network"
        )
    return SpecError(f"model: {spec.architecture} with input_shape {list(spec.input_shape)}: {_first_line(error)}")


def _redraw_depthwise(model: Any, seed: int) -> None:
    """Draw depthwise kernels anew with the variance of He et al. (2015), 2 / (height x width).

    Keras counts a depthwise kernel's fan-in over all channels though each output sees one, so MobileNet's
    activations shrink to 1e-19 and its scores become constant: no check could tell a right tail from a wrong
    one.
    """
    for index, layer in enumerate(model.layers):
        if type(layer).__name__ != "DepthwiseConv2D":
            continue
        height, width, channels, multiplier = layer.kernel.shape
        generator = np.random.default_rng((seed, index))
        normal = generator.standard_normal((height, width, channels, multiplier), dtype=np.float32)
        layer.kernel.assign(normal * np.float32(np.sqrt(2 / (height * width))))


def _nearest(name: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".;") if lines else type(error).__name__
