"""What candidates answer where nothing is sent: head, DeviceTL, the wire format's training-time twin, EdgeTL and tail
in one process. Prints {candidate: class} as JSON.

python local_answers.py MODEL_SPEC_AS_JSON CANDIDATE [CANDIDATE ...]
"""

from __future__ import annotations

import json
import sys

import numpy as np

from harness.dnn.zoo import ModelSpec
from harness.profiling.tier import Tier
from harness.results.schema import Key
from harness.transfer import wire


def main(model: dict[str, object], names: list[str]) -> None:
    from harness.transfer.twins import twin

    tier = Tier(ModelSpec(**{**model, "input_shape": tuple(model["input_shape"])}))  # type: ignore[arg-type]
    answers = {}
    for name in names:
        key = Key.parse(name)
        assert key.split is not None
        x = tier.head(key.split)(tier.tensor(tier.input))
        steps = (
            tier.device_tl(key.split, key.transfer_layer),
            twin(wire.get(key.wire_format)),
            tier.edge_tl(key.split, key.transfer_layer),
            tier.tail(key.split),
        )
        for step in steps:
            x = x if step is None else step(x)
        answers[name] = int(np.argmax(x))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
