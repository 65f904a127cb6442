"""How exactly replayed tiers spent the time that their recordings dictate (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.prediction.recording import REPLAYED_TERMS, Recording
from harness.results.schema import Sample

#: What a replay may be off at its 95th percentile, ms.
ALLOWED_MS = 0.2


def precision(recordings: Mapping[str, Recording], samples: Sequence[Sample], slowdown: float) -> dict[str, Any]:
    """The part of `summary.json` under `replay`: by tier, |measured - recorded| of the tier's whole part of a request.

    `off_ms` of all requests; `terms`: the 95th percentile of each term alone; `held`: whether p95 is within what is
    allowed. A real encoding that takes longer than its recording is what a replay can be off by most.

    Args:
        samples: of the measured candidates.
        slowdown: the pace of the device, to which its recording was stretched.
    """
    found = {}
    for tier, recording in recordings.items():
        pace = slowdown if tier == "device" else 1.0
        own = [_errors_ms(recording, sample, pace) for sample in samples if recording.terms_ms.get(str(sample.key))]
        if not own:
            continue
        whole = np.abs([sum(errors.values()) for errors in own])
        found[tier] = {
            "requests": len(own),
            "off_ms": {
                "p50": float(np.median(whole)),
                "p95": float(np.percentile(whole, 95)),
                "max": float(whole.max()),
            },
            "allowed_ms": ALLOWED_MS,
            "held": bool(np.percentile(whole, 95) <= ALLOWED_MS),
            "terms": {term: _p95(errors[term] for errors in own if term in errors) for term in REPLAYED_TERMS[tier]},
        }
    return {"replay": found}


def _errors_ms(recording: Recording, sample: Sample, pace: float) -> dict[str, float]:
    """By term, measured - recorded."""
    terms = recording.terms_ms[str(sample.key)]
    return {term: sample.terms[term] - pace * ms for term, ms in terms.items() if term in sample.terms}


def _p95(errors: Iterable[float]) -> float | None:
    values = np.abs(list(errors))
    return float(np.percentile(values, 95)) if len(values) else None
