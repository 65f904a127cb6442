"""What runs inside the edge server: tails, EdgeTLs and the control verbs, whatever serves them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dnn.zoo import ModelSpec
from harness.offloader import codec
from harness.profiling.tier import Tier
from harness.profiling.timing import Times, time_round
from harness.profiling.work import Work
from harness.results.schema import Key


class EdgeRuntime:
    """The edge tier behind its server.

    Verbs, by the request parameter `verb`: `infer` (with `candidate`), `echo` (the payload is dropped), `anchor`
    (as `infer`, on a payload that the edge already holds: compute without the link); and, with a JSON payload, `load`,
    `prepare`, `time`.
    """

    def __init__(self) -> None:
        self._tier: Tier | None = None
        self._resident: dict[Key, NDArray[np.uint8]] = {}
        self._verbs: dict[str, Callable[[dict[str, Any]], Any]] = {
            "load": self._load,
            "prepare": self._prepare,
            "time": self._time,
        }

    @property
    def tier(self) -> Tier:
        """What was loaded. Raises RuntimeError before anything was."""
        if self._tier is None:
            raise RuntimeError("no model is loaded; send the verb `load` first")
        return self._tier

    def infer(self, key: Key, payload: NDArray[np.uint8], called_ns: int) -> tuple[NDArray[np.float32], list[int]]:
        """One inference: class scores [1, classes] and the clock readings called, ready, EdgeTL done, tail done."""
        tier = self.tier
        x = tier.tensor(codec.deserialize(tier, key, payload.data))
        ready_ns = time.monotonic_ns()
        if key.candidate == "split":
            edge_tl = tier.edge_tl(key.split or 0, key.transfer_layer)
            x = x if edge_tl is None else tier.settled(edge_tl(x))
        expanded_ns = time.monotonic_ns()
        scores = np.asarray(tier.tail(key.split or 0)(x))
        return scores, [called_ns, ready_ns, expanded_ns, time.monotonic_ns()]

    def echo(self) -> NDArray[np.float32]:
        """Zero scores in the shape that the loaded model answers with: an echo's response weighs what theirs do."""
        return np.zeros((1, *self.tier.model.output.shape[1:]), dtype=np.float32)

    def control(self, verb: str, payload: NDArray[np.uint8]) -> bytes:
        """A control verb: JSON in, JSON out. Raises ValueError for a verb that does not exist."""
        if verb not in self._verbs:
            raise ValueError(f"no verb {verb!r}; allowed: infer, echo, anchor, {', '.join(self._verbs)}")
        return json.dumps(self._verbs[verb](json.loads(payload.tobytes()))).encode()

    def anchor(self, key: Key, called_ns: int) -> tuple[NDArray[np.float32], list[int]]:
        """An inference on a resident payload."""
        if key not in self._resident:
            self._resident[key] = np.frombuffer(codec.resident_payload(self.tier, key), dtype=np.uint8)
        return self.infer(key, self._resident[key], called_ns)

    # -- control verbs ----------------------------------------------------------------------------------

    def _load(self, arguments: dict[str, Any]) -> dict[str, Any]:
        spec = ModelSpec.of(arguments["model"])
        processor = arguments.get("processor", "cpu")
        if self._tier is None or (self._tier.spec, self._tier.placement.processor) != (spec, processor):
            self._resident.clear()
            self._tier = None
            self._tier = Tier(spec, threads=arguments["threads"], processor=processor)
        return {"layers": self._tier.last + 1, **self._tier.placement.describe()}

    def _prepare(self, arguments: dict[str, Any]) -> dict[str, Any]:
        for text in arguments["works"]:
            edge_call(self.tier, Work.parse(text), arguments["execution"])()
        return {}

    def _time(self, arguments: Mapping[str, Any]) -> Times:
        return time_round(
            [Work.parse(text) for text in arguments["works"]],
            lambda work: edge_call(self.tier, work, arguments["execution"]),
            edge_terms,
            seed=arguments["seed"],
            gap_ms=arguments["gap_ms"],
        )


def edge_call(tier: Tier, work: Work, execution: str) -> Callable[[], list[int]]:
    """A piece of edge work, ready to run: calling it gives the clock readings ready, EdgeTL done, tail done (ns)."""
    if work.kind == "codec":
        return _codec_call(tier, work.key or Key("edge-only"))
    slice_ = tier.block(work.start, work.end, execution) if work.kind == "block" else tier.tail(work.start)
    x = tier.tensor(tier.random(tier.shape(work.start)))

    def run() -> list[int]:
        ready_ns = time.monotonic_ns()
        np.asarray(slice_(x))
        return [ready_ns, ready_ns, time.monotonic_ns()]

    return run


def edge_terms(work: Work, started_ns: int, marks: list[int]) -> dict[str, float]:
    """Clock readings of `edge_call` as terms in ms."""
    if work.kind == "codec":
        return {"deserialize": (marks[0] - started_ns) / 1e6, "edge_tl": (marks[1] - marks[0]) / 1e6}
    return {"edge": (marks[2] - marks[1]) / 1e6}


def _codec_call(tier: Tier, key: Key) -> Callable[[], list[int]]:
    edge_tl = tier.edge_tl(key.split or 0, key.transfer_layer) if key.candidate == "split" else None
    payload = codec.resident_payload(tier, key)

    def run() -> list[int]:
        x = tier.tensor(codec.deserialize(tier, key, payload))
        ready_ns = time.monotonic_ns()
        if edge_tl is not None:
            np.asarray(edge_tl(x))
        expanded_ns = time.monotonic_ns()
        return [ready_ns, expanded_ns, expanded_ns]

    return run
