"""Pictures through a candidate, over the link and offline: the same classes must come out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn import zoo
from harness.offloader import codec
from harness.offloader.communicator import Communicator
from harness.offloader.endpoint import EdgeEndpoint
from harness.profiling.tier import Tier
from harness.results.schema import Key

#: Classes of an answer, the likeliest first.
TOP = 5


@dataclass(frozen=True)
class Answer:
    """What became of one picture.

    classes   the likeliest by the scores that came over the link, the best first
    offline   the same where device and edge half ran in one process, the payload passing through its wire format
    difference  greatest difference between the two, in class scores
    total_ms  from the picture to the parsed answer, at the host's own pace
    """

    classes: tuple[int, ...]
    offline: tuple[int, ...]
    difference: float
    total_ms: float


def answer(scores: NDArray[Any], offline: NDArray[Any], started_ns: int, parsed_ns: int) -> Answer:
    """An answer from the class scores [1, classes] of both ways."""
    return Answer(
        _top(scores),
        _top(offline),
        float(np.abs(np.asarray(scores) - np.asarray(offline)).max()),
        (parsed_ns - started_ns) / 1e6,
    )


def classify(tier: Tier, communicator: Communicator, endpoint: EdgeEndpoint, key: Key, picture: NDArray[Any]) -> Answer:
    """One picture through a candidate at the multiplexed edge.

    Args:
        tier: the device's, which also holds the tail that the edge runs.
        picture: uint8 [1, height, width, 3].
    """
    started_ns = time.monotonic_ns()
    x = tier.tensor(zoo.preprocess(tier.spec, picture))
    if key.candidate == "device-only":
        scores = np.asarray(tier.head(tier.last)(x))
        return answer(scores, scores, started_ns, time.monotonic_ns())
    cut = key.split or 0
    array: Any = np.asarray(x) if key.wire_format == "float32" else picture
    if key.candidate == "split":
        device_tl = tier.device_tl(cut, key.transfer_layer)
        tensor = tier.head(cut)(x)
        array = np.asarray(tensor if device_tl is None else device_tl(tensor))
    payload = codec.serialize(key, array)
    reply = communicator.send(communicator.encode(payload, endpoint.parameters(key), "", codec.datatype(key)))
    arrived = tier.tensor(codec.deserialize(tier, key, payload))
    edge_tl = tier.edge_tl(cut, key.transfer_layer) if key.candidate == "split" else None
    offline = np.asarray(tier.tail(cut)(arrived if edge_tl is None else edge_tl(arrived)))
    return answer(reply.output, offline, started_ns, reply.parsed_ns)


def _top(scores: NDArray[Any]) -> tuple[int, ...]:
    """Stable: of equal scores the lower class first."""
    return tuple(int(each) for each in np.argsort(-scores[0], kind="stable")[:TOP])
