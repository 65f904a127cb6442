"""What an edge wants to hear: which model, inputs and request parameters serve a candidate."""

from __future__ import annotations

from typing import Protocol

from harness.errors import DeviceError
from harness.results.schema import Key


class EdgeEndpoint(Protocol):
    """How requests of a candidate are addressed at one kind of edge.

    input_name takes a payload as UINT8, numbers_name one of float32 as FP32 (for JSON, which writes numbers).
    """

    model_name: str
    input_name: str
    numbers_name: str

    def parameters(self, key: Key) -> dict[str, str]:
        """Request parameters for an inference of this candidate."""


class MultiplexedEndpoint:
    """Ours: one model serves every cut; the candidate travels as a request parameter."""

    model_name = "scission"
    input_name = "PAYLOAD"
    numbers_name = "NUMBERS"

    def parameters(self, key: Key) -> dict[str, str]:
        return {"verb": "infer", "candidate": str(key)}


class PerCutEndpoint:
    """A deployment's: one model serves one candidate, and knows no verb but to infer.

    Args:
        model_name: in the server's repository.
        key: the candidate that it serves.
    """

    input_name = "PAYLOAD"
    numbers_name = "NUMBERS"

    def __init__(self, model_name: str, key: Key) -> None:
        self.model_name = model_name
        self._key = key

    def parameters(self, key: Key) -> dict[str, str]:
        """None. Raises DeviceError for another candidate."""
        if key != self._key:
            raise DeviceError(
                f"candidate {key} is not what was deployed; allowed: {self._key}; "
                "for others use hardware.edge.endpoint=multiplexed"
            )
        return {}
