"""What cannot be noise: terms that are missing, sums that do not close, a network that is not the link's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.results.schema import TERMS, Key, Row, Sample
from harness.validation.statistics import by_candidate, other_shares

_CLOSING_MS = 1e-3  # rounding of nine times added up, far below any clock's resolution here

#: Terms that a transfer layer adds, and those of a request that crosses the link.
_TRANSFER_TERMS = ("device_tl", "edge_tl")
_LINK_TERMS = ("serialize", "uplink", "queue", "deserialize", "edge", "downlink")


def expected_terms(key: Key) -> tuple[str, ...]:
    """The terms that a request of this candidate consists of. DESIGN: "Terms of one request"."""
    if key.candidate == "device-only":
        return ("device",)
    if key.candidate == "edge-only":
        return _LINK_TERMS
    present = {"device", *_LINK_TERMS} | set(_TRANSFER_TERMS if key.transfer_layer != "none" else ())
    return tuple(term for term in TERMS if term in present)


def missing_terms(samples: Sequence[Sample], unavailable: set[str]) -> list[str]:
    """A reason for each term that a candidate should have, that some request lacks, and that can be seen here."""
    reasons = []
    for key, own in by_candidate(samples).items():
        for term in expected_terms(key):
            missing = sum(term not in sample.terms for sample in own)
            if missing and term not in unavailable:
                reasons.append(
                    f"{key}: term {term} is missing in {missing} of {len(own)} requests, allowed 0: "
                    "measure it, or list it in unavailable_terms"
                )
    return reasons


def open_sums(samples: Sequence[Sample], max_other_share: float) -> list[str]:
    """A reason for each candidate whose terms and `other` miss the total, or whose `other` is too large a part."""
    reasons = []
    shares = other_shares(samples)
    for key, own in by_candidate(samples).items():
        gap = max(abs(each.total_ms - sum(each.terms.values()) - each.other_ms) for each in own)
        if not gap <= _CLOSING_MS:
            reasons.append(f"{key}: terms and other miss the total by up to {gap:.3f} ms, allowed {_CLOSING_MS} ms")
        if key in shares and not shares[key] <= max_other_share:
            worst = max(own, key=lambda each: abs(each.other_ms))
            reasons.append(
                f"{key}: other is {shares[key]:.2%} of the total, allowed {max_other_share:.2%}; "
                f"worst request: {worst.other_ms:.2f} of {worst.total_ms:.2f} ms"
            )
    return reasons


def no_network_theory(rows: Sequence[Row], theory_ms: Mapping[Key, float]) -> list[str]:
    """A reason for each measured candidate that crosses the link and has nothing to be compared with."""
    return [
        f"{row.key}: no {'link formula value' if row.key not in theory_ms else 'network_measured_ms'} "
        "to compare the network time with"
        for row in rows
        if row.measured_ms is not None
        and row.key.candidate != "device-only"
        and (row.key not in theory_ms or row.network_measured_ms is None)
    ]
