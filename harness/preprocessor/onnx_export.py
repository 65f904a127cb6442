"""An edge half as ONNX, which a stock Triton runs with its ONNX Runtime backend.

Keras's own exporter does it (`Model.export(format="onnx")`, through tf2onnx); input and output then get the names that
the repository's config gives them. Checked against Keras where onnxruntime is installed.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import CapabilityError, HarnessError

INPUT, OUTPUT = "PAYLOAD", "OUTPUT"
#: By how much class scores of the ONNX may differ from Keras's.
TOLERANCE = 1e-5
#: What the exporter needs; the extra `onnx` of pyproject.toml.
_PACKAGES = ("onnx", "tf2onnx")


def omitted_because(wire_format: str) -> str | None:
    """Why a payload in this wire format is no plain tensor of ONNX; None where it is one."""
    if wire_format == "float32":
        return None
    return f"a payload in wire format {wire_format} is no plain tensor; the python backend decodes it"


def require() -> None:
    """Raise CapabilityError where the packages that export ONNX are missing."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise CapabilityError(
            f"deploy.onnx=true needs {' and '.join(missing)}, which this Python lacks: run `make venv`, or add "
            "deploy.onnx=false"
        )


def export(edge: Any, path: Path) -> dict[str, Any]:
    """Write `edge`, a Keras model of one input and one output, as ONNX; its batch axis stays free.

    Returns:
        `opset`, and `max_abs_error` of its class scores against Keras's, null where onnxruntime is not installed.

    Raises:
        HarnessError: the exporter failed, or the ONNX gives other scores.
    """
    import keras
    import onnx

    signature = [keras.InputSpec(shape=(None, *edge.input.shape[1:]), dtype="float32", name=INPUT)]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # tf2onnx's use of NumPy
            edge.export(str(path), format="onnx", verbose=False, input_signature=signature)
    except Exception as error:
        raise HarnessError(
            f"the edge half cannot be exported as ONNX ({' '.join(str(error).split())[:200]}); add deploy.onnx=false"
        ) from error
    model = onnx.load(str(path))
    _rename(model.graph, model.graph.input[0].name, INPUT)
    _rename(model.graph, model.graph.output[0].name, OUTPUT)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return {"opset": opset, "max_abs_error": _error(edge, path)}


def _rename(graph: Any, old: str, new: str) -> None:
    """Call one tensor of a graph by another name wherever it occurs."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def _error(edge: Any, path: Path) -> float | None:
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.abs(np.random.default_rng(0).standard_normal((2, *edge.input.shape[1:]), dtype=np.float32))
    (scores,) = session.run([OUTPUT], {INPUT: x})
    error = float(np.abs(scores - np.asarray(edge(x, training=False))).max())
    if not error <= TOLERANCE:
        raise HarnessError(
            f"the edge half as ONNX gives class scores {error:.2g} off Keras's, more than {TOLERANCE:g}; "
            "add deploy.onnx=false and report this with the spec.yaml of the cell"
        )
    return error
