"""What a cell's rows and samples say, in the keys of `summary.json`. DESIGN: "Statistics"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from harness.results.schema import TERMS, TIER_TERMS, Key, Row, Sample
from harness.validation.estimators import (
    bias,
    bootstrap_median_interval,
    drift,
    is_baseline,
    is_split,
    kendall_tau_b,
    mape,
    noise_floor,
    p95_abs_error,
    regret,
    regret_all,
    regret_by_min_split,
    relative_errors,
    tau_aa,
)

__all__ = [
    "best",
    "best_split",
    "bias",
    "bootstrap_median_interval",
    "by_candidate",
    "candidate_name",
    "drift",
    "fill_measured",
    "is_baseline",
    "is_split",
    "kendall_tau_b",
    "mape",
    "noise_floor",
    "other_shares",
    "p95_abs_error",
    "regret",
    "regret_all",
    "regret_by_min_split",
    "relative_errors",
    "sentence",
    "summarise",
    "tau_aa",
]

_Value = Callable[[Row], float | None]


def _predicted(row: Row) -> float | None:
    return row.predicted_ms


def _measured(row: Row) -> float | None:
    return row.measured_ms


def by_candidate(samples: Iterable[Sample]) -> dict[Key, list[Sample]]:
    """The samples of each candidate, in the order in which they were measured."""
    grouped: dict[Key, list[Sample]] = {}
    for sample in sorted(samples, key=lambda each: each.order):
        grouped.setdefault(sample.key, []).append(sample)
    return grouped


def fill_measured(rows: Sequence[Row], samples: Sequence[Sample], seed: int) -> None:
    """Fills the measured columns of every row that has samples, in place; leaves the others alone.

    `measured_ms` is the median with its 95 % interval; every term is a median of its own, so medians of
    terms need not add up to the median of the total. `network_measured_ms` is what no tier accounts for
    (`TIER_TERMS`); device-only has no network and none of it.
    """
    grouped = by_candidate(samples)
    for row in rows:
        own = grouped.get(row.key)
        if not own:
            continue
        totals = [sample.total_ms for sample in own]
        row.samples = len(own)
        row.measured_ms = float(np.median(totals))
        row.measured_low_ms, row.measured_high_ms = bootstrap_median_interval(totals, seed)
        row.measured_p95_ms = float(np.percentile(totals, 95))
        row.measured_terms = {
            term: float(np.median([sample.terms[term] for sample in own if term in sample.terms]))
            for term in TERMS
            if any(term in sample.terms for sample in own)
        }
        if all(sample.closed for sample in own):
            row.other_measured_ms = float(np.median([sample.other_ms for sample in own]))
        row.network_measured_ms = (
            None if row.key.candidate == "device-only" else float(np.median([_network_ms(each) for each in own]))
        )
        if row.predicted_ms is not None and row.measured_ms:
            row.error = (row.predicted_ms - row.measured_ms) / row.measured_ms


def _network_ms(sample: Sample) -> float:
    return sample.total_ms - sum(sample.terms.get(term, 0.0) for term in TIER_TERMS)


def best(rows: Iterable[Row], value: _Value) -> Row | None:
    """The row with the smallest value; None where no row has one. The first of equals."""
    known = [(each, row) for row in rows if (each := value(row)) is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def best_split(rows: Iterable[Row], value: _Value, min_split: int, *, transfer: bool | None = None) -> Row | None:
    """The best feasible split from `min_split` on; original Scission's (`none` in float32, `transfer` false), all
    others' (true), or any."""
    return best(
        (
            row
            for row in rows
            if is_split(row, min_split) and transfer in (None, row.key != Key("split", row.key.split))
        ),
        value,
    )


def summarise(rows: list[Row], samples: list[Sample], *, min_split: int) -> dict[str, Any]:
    """The statistics of a cell; a value that cannot be computed is None.

    Args:
        rows: with their measured columns filled (`fill_measured`).
        samples: the requests behind them.
        min_split: the smallest split that the user allows (`constraints.min_split`).
    """
    totals = {key: [each.total_ms for each in own] for key, own in by_candidate(samples).items()}
    floor = noise_floor(totals)
    tied = floor or 0.0
    known = [row for row in rows if row.measured_ms is not None and row.predicted_ms is not None]
    tau = kendall_tau_b([row.predicted_ms or 0.0 for row in known], [row.measured_ms or 0.0 for row in known], tied)
    best_predicted = best_split(rows, _predicted, min_split)
    best_measured = best_split(rows, _measured, min_split)
    best_transfer = best_split(rows, _predicted, min_split, transfer=True)
    return {
        "measured_candidates": sum(row.measured_ms is not None for row in rows),
        **_accuracy(rows),
        "kendall_tau": tau,
        "kendall_tau_aa": tau_aa(totals, tied),
        "regret": regret(rows, tied, min_split=min_split),
        "regret_all": regret_all(rows, tied, min_split=min_split),
        "regret_by_min_split": regret_by_min_split(rows, tied),
        "drift": drift(totals),
        "noise_floor": floor,
        "min_split": min_split,
        "best_predicted": str(best_predicted.key) if best_predicted else None,
        "best_measured": str(best_measured.key) if best_measured else None,
        **_speedups(rows, min_split),
        "delta_t_best_ms": best_transfer.equations.get("delta_t_ms") if best_transfer else None,
        "max_other_share": max(other_shares(samples).values(), default=None),
        "sentence": sentence(rows, min_split, tied),
    }


def _accuracy(rows: Sequence[Row]) -> dict[str, float | None]:
    predicted = relative_errors(rows)
    forecast = relative_errors(rows, "forecast_ms")
    # Where the authors' tool knows no cut, what the paper says is ours to interpolate and not theirs to answer for.
    theirs = [row for row in rows if row.scission_cut is not False]
    return {
        "mape": mape(predicted),
        "p95_abs_error": p95_abs_error(predicted),
        "bias": bias(predicted),
        "forecast_mape": mape(forecast),
        "forecast_p95_abs_error": p95_abs_error(forecast),
        "forecast_bias": bias(forecast),
        "paper_mape": mape(relative_errors(theirs, "paper_ms")),
        "paper_eager_mape": mape(relative_errors(theirs, "paper_eager_ms")),
    }


def other_shares(samples: Iterable[Sample]) -> dict[Key, float]:
    """For each candidate the median of |other| / total: the part of a request that no term explains. Without those
    whose network no term has."""
    return {
        key: float(np.median([abs(each.other_ms) / each.total_ms for each in own if each.total_ms > 0] or [0]))
        for key, own in by_candidate(samples).items()
        if all(each.closed for each in own)
    }


def _speedups(rows: Sequence[Row], min_split: int) -> dict[str, dict[str, float | None]]:
    """How many times faster: ScissionTL's best than Scission's, the best split than each naive baseline.

    Measured, the splits are those that the prediction takes for the best of what was measured: with a transfer layer
    more cuts are measured than without, and the fastest of many would be compared with the fastest of few.
    """
    found: dict[str, dict[str, float | None]] = {
        name: {} for name in ("speedup_vs_scission", "speedup_vs_device_only", "speedup_vs_edge_only")
    }
    seen = [row for row in rows if row.measured_ms is not None]
    for kind, value, among in (("predicted", _predicted, rows), ("measured", _measured, seen)):
        split, original, transfer = (
            best_split(among, _predicted, min_split, transfer=which)
            or best_split(among, value, min_split, transfer=which)
            for which in (None, False, True)
        )
        naive = [row for row in among if is_baseline(row)]
        found["speedup_vs_scission"][kind] = _ratio(original, transfer, value)
        for name in ("device-only", "edge-only"):
            slow = best((row for row in naive if row.key.candidate == name), value)
            found[f"speedup_vs_{name.replace('-', '_')}"][kind] = _ratio(slow, split, value)
    return found


def _ratio(slow: Row | None, fast: Row | None, value: _Value) -> float | None:
    above = value(slow) if slow else None
    below = value(fast) if fast else None
    return above / below if above is not None and below else None


def candidate_name(key: Key) -> str:
    """A candidate in words."""
    if key.candidate == "device-only":
        return "device-only"
    if key.candidate == "edge-only":
        return f"edge-only ({key.wire_format})"
    layer = "no transfer layer" if key.transfer_layer == "none" else key.transfer_layer
    encoding = "" if key.wire_format == "float32" else f", {key.wire_format}"
    return f"split {key.split} ({layer}{encoding})"


def sentence(rows: Sequence[Row], min_split: int, floor: float) -> str:
    """Which candidate is best, in one sentence; says so when a naive baseline beats every split."""
    verb, value = ("measured", _measured) if any(row.measured_ms for row in rows) else ("predicted", _predicted)
    split = best_split(rows, value, min_split)
    naive = best(filter(is_baseline, rows), value)
    split_ms = value(split) if split else None
    naive_ms = value(naive) if naive else None
    if split and split_ms is not None and naive and naive_ms is not None:
        return _compare(split.key, split_ms, naive.key, naive_ms, verb, min_split, floor)
    if split and split_ms is not None:
        return f"Best {verb} candidate: {_with(split.key, split_ms)}; no naive baseline to compare."
    if naive and naive_ms is not None:
        return f"Best {verb} candidate: {_with(naive.key, naive_ms)}; no feasible split to compare."
    return "No candidate has a latency yet."


def _with(key: Key, value_ms: float) -> str:
    return f"{candidate_name(key)} with {value_ms:.1f} ms"


def _compare(split: Key, split_ms: float, naive: Key, naive_ms: float, verb: str, min_split: int, floor: float) -> str:
    ours, theirs = _with(split, split_ms), _with(naive, naive_ms)
    if abs(split_ms - naive_ms) < floor * min(split_ms, naive_ms):
        return f"Best {verb}: {ours} and {theirs} differ by less than the noise floor of {floor:.1%}."
    if naive_ms < split_ms:
        saved = f"{split_ms - naive_ms:.1f} ms ({1 - naive_ms / split_ms:.0%}) less"
        return (
            f"The naive baseline {candidate_name(naive)} beats every split from cut {min_split} on: "
            f"{verb} {naive_ms:.1f} ms, {saved} than {ours}."
        )
    faster = naive_ms / split_ms
    return f"Best {verb} candidate: {ours}, {faster:.2f} times as fast as the best naive baseline, {theirs}."
