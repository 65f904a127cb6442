"""What a deployment says of itself: `manifest.json` beside its files (no TensorFlow).

Layout of a deployment's folder:

    manifest.json       this record, with the SHA-256 of every other file
    device.keras        head and DeviceTL: [batch, height, width, channels] to the payload's tensor
    edge.keras          EdgeTL and tail: the payload's tensor to class scores [batch, classes]
    triton/python/      model repository for a Triton with the python backend: payload bytes in any wire format
    triton/onnx/        model repository for a stock Triton: the payload's tensor, where the wire format is a plain one
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import SpecError
from harness.results.records import write_json
from harness.results.schema import Key

MANIFEST = "manifest.json"
DEVICE, EDGE = "device.keras", "edge.keras"
REPOSITORIES = "triton"
PYTHON_REPOSITORY, ONNX_REPOSITORY = f"{REPOSITORIES}/python", f"{REPOSITORIES}/onnx"
#: What makes a JSON file a manifest of ours, and the version of its fields.
KIND = "scissionlite-deployment"
MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Tensor:
    """One tensor of a deployment; the batch axis is first and 1."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Manifest:
    """What was deployed.

    model           name, architecture, input_shape, preprocessing, weights (what they are, in words), and `content`,
                    the zoo's content key; null for weights that a training made
    candidate       key of the candidate that it runs, e.g. `split/9/maxpool/float32`
    layer           name of the cut's layer
    tensors         by name: `input`, `cut`, `payload` (what the wire format encodes), `output`
    payload_bytes   on the wire, encoded; null where it depends on the content
    triton_model    name of the model in both repositories
    onnx            `opset` and `max_abs_error` against Keras; or `omitted_because`
    reload_error    greatest difference between the reloaded halves and the TLModel, on class scores
    accuracy        what is known of it: `top1`, `top5`, `dataset`, `images`, ...; null: nothing
    versions        of Python and of the packages that wrote it
    files           by path inside the folder: `sha256` and `bytes`
    """

    model: Mapping[str, Any]
    candidate: str
    layer: str
    tensors: Mapping[str, Tensor]
    payload_bytes: int | None
    triton_model: str
    onnx: Mapping[str, Any]
    reload_error: float
    accuracy: Mapping[str, Any] | None
    versions: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The candidate that the deployment runs."""
        return Key.parse(self.candidate)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one picture."""
        height, width, channels = self.model["input_shape"]
        return (height, width, channels)


@dataclass(frozen=True)
class Deployment:
    """A verified deployment on disk."""

    folder: Path
    manifest: Manifest

    @property
    def repository(self) -> Path:
        """The model repository for the python backend."""
        return self.folder / PYTHON_REPOSITORY


def write(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` over the files of the deployment in `folder`; gives the manifest with them."""
    own = [folder / DEVICE, folder / EDGE, *sorted((folder / REPOSITORIES).rglob("*"))]
    files = {
        path.relative_to(folder).as_posix(): {"sha256": _sha256(path), "bytes": path.stat().st_size}
        for path in own
        if path.is_file()
    }
    whole = Manifest(**{**_shallow(manifest), "files": files})
    write_json(folder / MANIFEST, {"kind": KIND, "manifest_version": MANIFEST_VERSION, **asdict(whole)})
    return whole


def load(folder: Path) -> Deployment:
    """The deployment in `folder`, every file of it checked against its hash.

    Raises:
        SpecError: there is none, it is not ours or of another version, or a file is missing, changed or not its own.
    """
    folder = Path(folder)
    manifest = read(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise SpecError(f"deployment {folder}: {name} is missing; export it again with mode=deploy")
        if path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
            raise SpecError(
                f"deployment {folder}: {name} is not the file that its manifest describes (SHA-256 differs): damaged "
                "or changed; export it again with mode=deploy"
            )
    repository = folder / PYTHON_REPOSITORY
    known = {folder / name for name in manifest.files}
    found = [path for path in repository.rglob("*") if path.is_file() and path not in known]
    # What a server compiled that ran it in place is never copied from here.
    strangers = [path for path in found if "__pycache__" not in path.parts]
    if strangers:  # a server would load and run it
        raise SpecError(
            f"deployment {folder}: {strangers[0].relative_to(folder)} is not in its manifest; remove it, or export "
            "again with mode=deploy"
        )
    return Deployment(folder, manifest)


def read(folder: Path) -> Manifest:
    """The manifest alone, its files unchecked. Raises SpecError where there is none, or not one of this version."""
    path = Path(folder) / MANIFEST
    where = f"deployment {path.parent}"
    again = "give the folder of a mode=deploy run"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{where}: no {path.name} there; {again}") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{where}: {path.name} cannot be read ({' '.join(str(error).split())}); {again}") from None
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise SpecError(f"{where}: {path.name} is no manifest of a deployment; {again}")
    if record.get("manifest_version") != MANIFEST_VERSION:
        raise SpecError(
            f"{where}: manifest_version {record.get('manifest_version')!r}; this version reads {MANIFEST_VERSION}: "
            "export it again with mode=deploy"
        )
    try:
        return _parse(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise SpecError(f"{where}: {path.name} is damaged ({detail}); export it again with mode=deploy") from None


def _parse(record: Mapping[str, Any]) -> Manifest:
    known = {each.name: record[each.name] for each in fields(Manifest)}
    tensors = {name: Tensor(tuple(each["shape"]), str(each["dtype"])) for name, each in known["tensors"].items()}
    manifest = Manifest(**{**known, "tensors": tensors})
    if manifest.key.candidate != "split":
        raise ValueError(f"candidate {manifest.candidate!r} is no split")
    if len(manifest.input_shape) != 3 or {"input", "cut", "payload", "output"} - tensors.keys():
        raise ValueError("tensors or model.input_shape are incomplete")
    for name, described in manifest.files.items():
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).is_absolute() or ".." in parts:
            raise ValueError(f"file {name!r} lies outside the folder")
        if not {"sha256", "bytes"} <= described.keys():
            raise ValueError(f"file {name!r} has no hash")
    if not {DEVICE, EDGE} <= manifest.files.keys():
        raise ValueError(f"{DEVICE} or {EDGE} is not among its files")
    return manifest


def _shallow(manifest: Manifest) -> dict[str, Any]:
    return {each.name: getattr(manifest, each.name) for each in fields(Manifest)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
