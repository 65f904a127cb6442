"""How far each term of a prediction may be off (`gate.terms`)."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from harness.spec.fields import Part, field


class TermTolerance(Part):
    """Of one term, on the mean of the candidates where it is judged."""

    share: float | None = field("of the measured total; null: the term is not judged", "fraction", ge=0, le=10)
    absolute_ms: float = field("in addition", "ms", ge=0, le=10_000)
    always: bool = field("judged at every candidate, not only where it carries more than gate.min_term_share")

    @field_validator("absolute_ms")
    @classmethod
    def _some(cls, absolute_ms: float, info: ValidationInfo) -> float:
        if absolute_ms == 0 and info.data.get("share") == 0:
            raise ValueError("with a share of 0 too nothing at all would be allowed; set one of both above 0")
        return absolute_ms


class TermTolerances(Part):
    """Of each term of a request."""

    device: TermTolerance
    device_tl: TermTolerance
    serialize: TermTolerance
    uplink: TermTolerance
    queue: TermTolerance
    deserialize: TermTolerance
    edge_tl: TermTolerance
    edge: TermTolerance
    downlink: TermTolerance
