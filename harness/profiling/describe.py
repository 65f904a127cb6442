"""What a model is, from its graph alone: cuts, sizes and features, nothing timed.

    python -m harness.profiling.describe < MODEL_SPEC_AS_JSON

prints one line of JSON. A process of its own, because it imports TensorFlow, which whoever asks must not.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from typing import Any

from harness.dnn import cuts as cut_finder
from harness.dnn import features, inputs, zoo
from harness.dnn.cuts import FLOAT32_BYTES
from harness.transfer import pictures


def describe(spec: zoo.ModelSpec) -> dict[str, Any]:
    """Cuts, last layer, input shape, bytes of the request's picture by wire format, and graph features.

    Raises:
        SpecError, CapabilityError: as `zoo.build` does.
    """
    model = zoo.build(spec)
    cuts = cut_finder.find_cuts(model)
    return {
        "cuts": [asdict(cut) for cut in cuts],
        "last": len(model.layers) - 1,
        "input_shape": list(spec.input_shape),
        "pictures": {name: _picture_bytes(spec, name) for name in pictures.names()},
        "features": asdict(features.graph_features(model, cuts)),
    }


def _picture_bytes(spec: zoo.ModelSpec, wire_format: str) -> int:
    """Bytes of the default request's picture; as float32 it is the preprocessed tensor, of the same shape."""
    if wire_format == "float32":
        return FLOAT32_BYTES * math.prod(spec.input_shape)
    return len(pictures.get(wire_format).serialize(inputs.photograph(spec.input_shape)))


if __name__ == "__main__":
    print(json.dumps(describe(zoo.ModelSpec.of(json.load(sys.stdin)))))
