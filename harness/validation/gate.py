"""The gate: does the prediction hold, and did the measurement mean what it says?

Noise must never reject good work and a wrong unit always must. So what cannot be noise (a term missing, a
sum that does not close) fails at once; a tolerance that is exceeded fails by more than the noise that the
cell itself shows; and where that noise is above the tolerance, what remains is inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.results.schema import TERMS, Key, Row, Sample
from harness.validation.statistics import by_candidate, other_shares

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"

_CLOSING_MS = 1e-3  # rounding of nine times added up, far below any clock's resolution here
_FEWEST_SAMPLES = 3  # below that a median cannot outvote one outlier

#: Terms that a transfer layer adds, and those of a request that crosses the link.
_TRANSFER_TERMS = ("device_tl", "edge_tl")
_LINK_TERMS = ("serialize", "uplink", "queue", "deserialize", "edge", "downlink")


class GateSettings(Protocol):
    """What the gate is told (`conf/gate`). Shares and errors are fractions; None means not judged."""

    @property
    def enabled(self) -> bool: ...
    @property
    def max_mape(self) -> float | None: ...
    @property
    def network_relative(self) -> float: ...
    @property
    def network_absolute_ms(self) -> float: ...
    @property
    def max_other_share(self) -> float: ...
    @property
    def max_forecast_mape(self) -> float | None: ...


@dataclass(frozen=True)
class Verdict:
    """`pass`, `fail`, `inconclusive`, or None when the gate is off; and why, a line each."""

    verdict: str | None
    reasons: tuple[str, ...] = ()


def expected_terms(key: Key) -> tuple[str, ...]:
    """The terms that a request of this candidate consists of. DESIGN: "Terms of one request"."""
    if key.candidate == "device-only":
        return ("device",)
    if key.candidate == "edge-only":
        return _LINK_TERMS
    present = {"device", *_LINK_TERMS} | set(_TRANSFER_TERMS if key.transfer_layer != "none" else ())
    return tuple(term for term in TERMS if term in present)


def judge(
    rows: Sequence[Row],
    samples: Sequence[Sample],
    summary: Mapping[str, Any],
    settings: GateSettings,
    *,
    network_theory_ms: Mapping[Key, float],
) -> Verdict:
    """Judges one cell.

    Args:
        rows: with their measured columns filled.
        samples: the requests behind them.
        summary: the cell's statistics (`mape`, `forecast_mape`, `noise_floor`, `drift`), and
            `unavailable_terms`, those that this testbed cannot see.
        settings: the tolerances.
        network_theory_ms: what the link formula gives for each candidate that crosses the link, in ms.
    """
    if not settings.enabled:
        return Verdict(None)
    broken = _terms(samples, set(summary.get("unavailable_terms") or ())) + _closing(samples, settings)
    undecided = _undecidable(rows, summary, settings)
    noise = max(summary.get("noise_floor") or 0.0, abs(summary.get("drift") or 0.0))
    slack = noise if undecided else 0.0
    for sure, reason in [
        *_network(rows, settings, network_theory_ms, slack),
        *_accuracy(summary, settings, slack),
    ]:
        (broken if sure and not _too_few(rows) else undecided).append(reason)
    if broken:
        return Verdict(FAIL, tuple(broken + undecided))
    return Verdict(INCONCLUSIVE, tuple(undecided)) if undecided else Verdict(PASS)


def _terms(samples: Sequence[Sample], unavailable: set[str]) -> list[str]:
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


def _closing(samples: Sequence[Sample], settings: GateSettings) -> list[str]:
    reasons = []
    shares = other_shares(samples)
    for key, own in by_candidate(samples).items():
        gap = max(abs(each.total_ms - sum(each.terms.values()) - each.other_ms) for each in own)
        if not gap <= _CLOSING_MS:
            reasons.append(f"{key}: terms and other miss the total by up to {gap:.3f} ms, allowed {_CLOSING_MS} ms")
        if not shares[key] <= settings.max_other_share:
            worst = max(own, key=lambda each: abs(each.other_ms))
            reasons.append(
                f"{key}: other is {shares[key]:.2%} of the total, allowed {settings.max_other_share:.2%}; "
                f"worst request: {worst.other_ms:.2f} of {worst.total_ms:.2f} ms"
            )
    return reasons


def _too_few(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.measured_ms is not None and (row.samples or 0) < _FEWEST_SAMPLES]


def _undecidable(rows: Sequence[Row], summary: Mapping[str, Any], settings: GateSettings) -> list[str]:
    """What makes a verdict on the numbers impossible."""
    if all(row.measured_ms is None for row in rows):
        return ["nothing was measured: no row has a measured_ms"]
    few = _too_few(rows)
    reasons = []
    if few:
        reasons.append(
            f"{few[0].key}: {few[0].samples or 0} samples, allowed {_FEWEST_SAMPLES} or more "
            f"({len(few)} such rows): raise measure.samples"
        )
    if settings.max_mape is None:
        return reasons
    for quantity in ("noise_floor", "drift"):
        value = summary.get(quantity)
        if value is not None and abs(value) > settings.max_mape:
            reasons.append(
                f"{quantity} is {value:.1%}, more than the tolerance of {settings.max_mape:.1%}: "
                "quieten the machine and measure again"
            )
    return reasons


def _network(
    rows: Sequence[Row], settings: GateSettings, theory: Mapping[Key, float], slack: float
) -> list[tuple[bool, str]]:
    """Rows whose network time is not the link's: (beyond any noise, reason)."""
    found = []
    for row in rows:
        if row.measured_ms is None or row.key.candidate == "device-only":
            continue
        expected, measured = theory.get(row.key), row.network_measured_ms
        if expected is None or measured is None:
            lacking = "link formula value" if expected is None else "network_measured_ms"
            found.append((True, f"{row.key}: no {lacking} to compare the network time with"))
            continue
        allowed = settings.network_relative * expected + settings.network_absolute_ms
        off = abs(measured - expected)
        if not off <= allowed:
            reason = (
                f"{row.key}: network_measured_ms is {measured:.2f}, the link formula gives {expected:.2f}, "
                f"allowed within {allowed:.2f} ms"
            )
            found.append((not off <= allowed + slack * row.measured_ms, reason))
    return found


def _accuracy(summary: Mapping[str, Any], settings: GateSettings, slack: float) -> list[tuple[bool, str]]:
    found = []
    for quantity, allowed in (("mape", settings.max_mape), ("forecast_mape", settings.max_forecast_mape)):
        if allowed is None:
            continue
        value = summary.get(quantity)
        if value is None:
            found.append((False, f"{quantity} cannot be computed: no row is both predicted and measured"))
        elif not value <= allowed:
            found.append((not value <= allowed + slack, f"{quantity} is {value:.1%}, allowed {allowed:.1%}"))
    return found
