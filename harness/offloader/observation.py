"""Clock readings of one request, and the terms that they make (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.results.schema import TERMS, Key, Sample


@dataclass(frozen=True)
class ServerTimes:
    """When the server had a request complete and when it handed the answer to gRPC (CLOCK_MONOTONIC, ns)."""

    complete_ns: int
    answered_ns: int


@dataclass(frozen=True)
class Observation:
    """The clock readings of one request as the device saw it (CLOCK_MONOTONIC, ns), and the edge's own.

    kind: `measure` (a candidate), `anchor` (the same, but its payload stays off the link), `echo` (no compute).
    name: the candidate's key, or the payload bytes of an echo.
    handed_ns is 0, and edge_ns empty, where nothing was sent.
    edge_ns: tail model called, input ready, EdgeTL done, tail done.
    fused: a deployment's halves ran, whose transfer layer has no time of its own: it counts to head and tail.
    """

    kind: str
    name: str
    order: int
    request_id: str
    started_ns: int
    head_ns: int
    shrunk_ns: int
    handed_ns: int
    edge_ns: tuple[int, ...]
    parsed_ns: int
    response_bytes: int
    top_class: int
    fused: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Observation:
        """The inverse of `as_dict`."""
        return cls(**{**data, "edge_ns": tuple(data["edge_ns"])})

    @property
    def sent(self) -> bool:
        """Whether anything was sent to the edge."""
        return self.handed_ns > 0


def sample_of(observation: Observation, server: ServerTimes | None, *, one_clock: bool = True) -> Sample:
    """The terms of a request in ms, its total, and what is left over (DESIGN: "Terms of one request").

    Terms that a candidate does not have are left out: a head where the input is sent, an EdgeTL without a
    transfer layer.

    Args:
        server: its own readings; None where it has none to show.
        one_clock: whether they are of the clock that the device reads. Those of two hosts are never subtracted.
    """
    total_ms = (observation.parsed_ns - observation.started_ns) / 1e6
    if not observation.sent:
        terms = {"device": (observation.head_ns - observation.started_ns) / 1e6}
    else:
        terms = _sent_terms(observation, server, one_clock)
    key = Key("edge-only") if observation.kind == "echo" else Key.parse(observation.name)
    if key.candidate == "edge-only":
        del terms["device"]
    if key.transfer_layer == "none" or observation.fused:
        terms.pop("device_tl", None)
        terms.pop("edge_tl", None)
    other_ms = total_ms - sum(terms.values())
    return Sample(key, observation.order, total_ms, terms, other_ms, observation.started_ns)


def _sent_terms(observation: Observation, server: ServerTimes | None, one_clock: bool) -> dict[str, float]:
    called_ns, ready_ns, expanded_ns, done_ns = observation.edge_ns
    marks = {
        "device": (observation.started_ns, observation.head_ns),
        "device_tl": (observation.head_ns, observation.shrunk_ns),
        "serialize": (observation.shrunk_ns, observation.handed_ns),
        "deserialize": (called_ns, ready_ns),
        "edge_tl": (ready_ns, expanded_ns),
        "edge": (expanded_ns, done_ns),
    }
    if server is not None:
        marks["queue"] = (server.complete_ns, called_ns)
    if server is not None and one_clock:
        marks |= {
            "uplink": (observation.handed_ns, server.complete_ns),
            "downlink": (server.answered_ns, observation.parsed_ns),
        }
    return {term: (marks[term][1] - marks[term][0]) / 1e6 for term in TERMS if term in marks}
