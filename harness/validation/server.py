"""Triton's own statistics beside our clocks: two measurements of the same requests (pure).

Triton's statistics extension sums, for each model, what its successful requests spent waiting in its queue, copying
inputs, inside the backend and copying outputs. Ours are the terms `queue` (from the complete request to the tail's
call: Triton's queue, its input copy and the way to the backend's process) and, called to done, `deserialize`, `edge_tl`
and `edge`, which lie inside `compute_infer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.results.schema import EDGE_TERMS, Sample

#: What the way to the backend's process and back may take of `compute_infer`: a constant and a share.
_WAY_MS, _WAY_SHARE = 3.0, 0.05


def cross_check(
    before: Mapping[str, int], after: Mapping[str, int], samples: Sequence[Sample]
) -> dict[str, Any] | None:
    """What the server says of the requests between two readings, beside what we clocked; None where nothing was sent.

    Args:
        before, after: readings of its statistics: requests, and summed times in ns.
        samples: of the requests between them, all that were kept (rehearsals were not).

    Returns:
        `requests` and mean times in ms, Triton's (`queue_ms`, `compute_input_ms`, `compute_infer_ms`,
        `compute_output_ms`) and ours (`clocked`: `requests`, `queue_ms` where it can be seen, `inside_ms`), their
        difference `way_ms`, `agrees`, and `notes`.
    """
    sent = [sample for sample in samples if "edge" in sample.terms or "queue" in sample.terms]
    requests = after.get("requests", 0) - before.get("requests", 0)
    if not sent or requests <= 0:
        return None
    names = ("queue", "compute_input", "compute_infer", "compute_output")
    found: dict[str, Any] = {"requests": requests}
    found |= {f"{name}_ms": (after[f"{name}_ns"] - before[f"{name}_ns"]) / requests / 1e6 for name in names}
    inside = [sum(sample.terms.get(term, 0.0) for term in EDGE_TERMS) for sample in sent]
    queues = [sample.terms["queue"] for sample in sent if "queue" in sample.terms]
    inside_ms = sum(inside) / len(inside)
    found["clocked"] = {
        "requests": len(sent),
        "queue_ms": sum(queues) / len(queues) if len(queues) == len(sent) else None,
        "inside_ms": inside_ms,
    }
    found["way_ms"] = found["compute_infer_ms"] - inside_ms
    notes = _notes(found, len(sent))
    return found | {"agrees": not notes, "notes": notes}


def _notes(found: Mapping[str, Any], sent: int) -> list[str]:
    requests, way_ms, infer_ms = found["requests"], found["way_ms"], found["compute_infer_ms"]
    if requests < sent:
        return [f"Triton counted {requests} requests where {sent} were answered: not the same model or version"]
    notes = []
    if requests > 2 * sent:  # a rehearsal is one more of each
        notes.append(f"Triton counted {requests} requests where {sent} were ours: it served others meanwhile")
    elif way_ms < 0:
        notes.append(
            f"our terms inside the backend take {-way_ms:.2f} ms longer than Triton saw it: one clock is wrong"
        )
    elif way_ms > _WAY_MS + _WAY_SHARE * infer_ms:
        notes.append(f"Triton saw its backend busy {way_ms:.2f} ms a request longer than our terms inside it explain")
    return notes
