"""What an edge wants to hear: which model, inputs and request parameters serve a candidate."""

from __future__ import annotations

from typing import Protocol

from harness.results.schema import Key


class EdgeEndpoint(Protocol):
    """How requests of a candidate are addressed at one kind of edge."""

    model_name: str
    input_name: str

    def parameters(self, key: Key) -> dict[str, str]:
        """Request parameters for an inference of this candidate."""


class MultiplexedEndpoint:
    """Ours: one model serves every cut; the candidate travels as a request parameter."""

    model_name = "scission"
    input_name = "PAYLOAD"

    def parameters(self, key: Key) -> dict[str, str]:
        return {"verb": "infer", "candidate": str(key)}
