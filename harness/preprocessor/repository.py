"""A deployment's model repositories for Triton: one for the python backend, one that a stock server runs natively."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: The package that is shipped with a model, and what it is a copy of.
SHIPPED, SOURCE = "scission_wire", "harness"
#: What decodes a payload; whatever it imports of the harness is shipped with it.
_DECODER = "harness.transfer.wire"
_ROOT = Path(__file__).resolve().parents[2]

_ONNX_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: 0
input [{{ name: "PAYLOAD" data_type: TYPE_FP32 dims: [ -1, {dims} ] }}]
output [{{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ -1, {classes} ] }}]
"""


def python_config(name: str, *, replies: bool = False) -> dict[str, Any]:
    """A model's configuration for the python backend, as Triton's repository API takes it.

    Args:
        replies: whether the model also answers control requests.
    """
    outputs = [("OUTPUT", "TYPE_FP32", [-1, -1]), ("TIMES", "TYPE_INT64", [-1])]
    outputs += [("REPLY", "TYPE_UINT8", [-1])] if replies else []
    inputs = [("PAYLOAD", "TYPE_UINT8", [-1]), ("NUMBERS", "TYPE_FP32", [-1])]  # a request has one of them
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": 0,
        "input": [{"name": own, "data_type": kind, "dims": dims, "optional": True} for own, kind, dims in inputs],
        "output": [{"name": own, "data_type": kind, "dims": dims} for own, kind, dims in outputs],
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
    }


def pbtxt(config: Mapping[str, Any]) -> str:
    """The same as the text of a `config.pbtxt`."""
    return "".join(f"{key}: {_pbtxt(key, value)}\n" for key, value in config.items())


def _pbtxt(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + " ".join(f"{name}: {_pbtxt(name, own)}" for name, own in value.items()) + " }"
    if isinstance(value, list):
        return "[ " + ", ".join(_pbtxt(key, own) for own in value) + " ]"
    enumerated = key in ("data_type", "kind")
    return str(value) if enumerated else json.dumps(value)


def lay_out_python(repository: Path, name: str, *, edge: Path, wire_format: str, payload_shape: Sequence[int]) -> None:
    """The repository that serves `edge`, a .keras file, in the python backend.

    Args:
        repository: folder to make.
        name: of the model in it.
        wire_format: its label; what decodes it is shipped along.
        payload_shape: of the tensor that the payload encodes, batch axis first.
    """
    version = repository / name / "1"
    version.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(pbtxt(python_config(name)))
    shutil.copyfile(Path(__file__).with_name("triton_per_cut.py"), version / "model.py")
    shutil.copyfile(edge, version / "edge.keras")
    settings = {"wire_format": wire_format, "payload_shape": list(payload_shape)}
    (version / "settings.json").write_text(json.dumps(settings) + "\n")
    for path, source in shipped_modules():
        file = version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")


def lay_out_onnx(repository: Path, name: str, *, payload_shape: Sequence[int], classes: int) -> Path:
    """The repository that a stock server runs with its ONNX Runtime backend; where `model.onnx` has to go."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    dims = ", ".join(str(size) for size in payload_shape[1:])
    (repository / name / "config.pbtxt").write_text(_ONNX_CONFIG.format(name=name, dims=dims, classes=classes))
    return version / "model.onnx"


def shipped_modules() -> Iterator[tuple[Path, str]]:
    """The decoder and all that it imports of the harness, as files of the package `scission_wire`.

    Nothing in them names the harness any more, so that a server may have another version of it, or none.
    """
    for module, file, source in modules_behind(_DECODER):
        target = Path(SHIPPED, *module.split(".")[1:])
        yield (target / "__init__.py" if file.name == "__init__.py" else target.with_suffix(".py")), _renamed(source)


def modules_behind(root: str) -> Iterator[tuple[str, Path, str]]:
    """A module of the harness and all that it imports of the harness, however indirectly: name, file and source."""
    pending, done = [root], set()
    while pending:
        module = pending.pop()
        if module in done:
            continue
        done.add(module)
        file = _file_of(module)
        source = file.read_text(encoding="utf-8")
        pending += [parent for parent in (module.rpartition(".")[0],) if parent]
        pending += _imported(source)
        yield module, file, source


def _file_of(module: str) -> Path:
    path = _ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(source: str) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(ast.parse(source)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.Import | ast.ImportFrom) and any(name.split(".")[0] == SOURCE for name in names):
            yield node


def _imported(source: str) -> Iterator[str]:
    """Modules of the harness that a source imports; a name imported from a package may be one too."""
    for node in _imports(source):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
            continue
        module = node.module or ""
        yield module
        yield from (f"{module}.{each.name}" for each in node.names if _file_of(f"{module}.{each.name}").exists())


def _renamed(source: str) -> str:
    """The source with its imports from the harness turned to the shipped package."""
    lines = source.splitlines(keepends=True)
    for node in _imports(source):
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = (
                lines[number].replace(f"{SOURCE}.", f"{SHIPPED}.").replace(f"from {SOURCE} ", f"from {SHIPPED} ")
            )
    return "".join(lines)
