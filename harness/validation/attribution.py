"""Where a prediction errs: signed error per candidate and term, and what the link's emulation has to do with it.

All errors are predicted - measured: positive when the prediction is too slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.results.schema import TERMS, Key, Row
from harness.validation.resampling import OTHER, TOTAL, Array, Draws, interval

#: What has an error of its own: the terms, what lies between them, and the whole.
NAMES = (*TERMS, OTHER, TOTAL)

#: What each term is predicted by: named when it is wrong.
EQUATIONS = {
    "device": "the head, blocks 0..i through the anchors",
    "device_tl": "Eq. 1, DeviceTL",
    "serialize": "Eq. 2, Serial; Eq. 3 without a transfer layer",
    "uplink": "Eq. 4 (5 without a transfer layer): here the TCP formula with headers, and gRPC's fixed cost",
    "queue": "Triton's queue, from the echoes",
    "deserialize": "Eq. 2, DeSerial; Eq. 3 without a transfer layer",
    "edge_tl": "Eq. 1, EdgeTL",
    "edge": "the tail, blocks i+1..n through the anchors",
    "downlink": "the TCP formula on the way back, and gRPC's fixed cost; Eq. 4 has it in its round trip",
    OTHER: "what lies between the terms",
}


def predicted_ms(rows: Sequence[Row], keys: Sequence[Key], name: str) -> Array:
    """What is predicted of one of `NAMES`, in ms: [candidate], in the order of `keys`.

    A term that the predictor does not know counts as 0: that is what its total has of it. NaN where it predicts
    no total, and for every term where it predicts nothing but the total.
    """
    by_key = {row.key: row for row in rows}
    return np.array([_predicted(by_key.get(key), name) for key in keys])


def _predicted(row: Row | None, name: str) -> float:
    if row is None or row.predicted_ms is None:
        return float("nan")
    if name == TOTAL:
        return row.predicted_ms
    if not row.predicted_terms:
        return float("nan")
    if name == OTHER:
        return row.predicted_ms - sum(row.predicted_terms.values())
    return row.predicted_terms.get(name, 0.0)


def error_records(rows: Sequence[Row], draws: Draws) -> list[dict[str, Any]]:
    """The lines of `errors.csv`, in the order of `rows`: one a measured candidate and term, the total last."""
    place_of = {key: place for place, key in enumerate(draws.keys)}
    found: dict[Key, list[dict[str, Any]]] = {key: [] for key in draws.keys}
    totals = draws.of(TOTAL)
    for name in NAMES:
        predicted, measured = predicted_ms(rows, draws.keys, name), draws.of(name)
        chosen = np.isfinite(predicted) & np.isfinite(measured)
        if not chosen.any():
            continue
        low, high = np.percentile(predicted[chosen] - draws.drawn(name, chosen), (2.5, 97.5), axis=0)
        for number, place in enumerate(np.flatnonzero(chosen)):
            error = predicted[place] - measured[place]
            found[draws.keys[place]].append(
                {
                    "term": name,
                    "predicted_ms": float(predicted[place]),
                    "measured_ms": float(measured[place]),
                    "error_ms": float(error),
                    "error_low_ms": float(low[number]),
                    "error_high_ms": float(high[number]),
                    "share_of_total": float(error / totals[place]) if totals[place] else None,
                }
            )
    return [_key_columns(row) | line for row in rows if row.key in place_of for line in _with_p95(row, found[row.key])]


def _key_columns(row: Row) -> dict[str, Any]:
    key = row.key
    return {
        "candidate": key.candidate,
        "split": key.split,
        "transfer_layer": key.transfer_layer,
        "wire_format": key.wire_format,
    }


def _with_p95(row: Row, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    both = {"predicted_p95_ms": row.predicted_p95_ms, "measured_p95_ms": row.measured_p95_ms}
    return [line | (both if line["term"] == TOTAL else {}) for line in lines]


def term_summary(rows: Sequence[Row], draws: Draws) -> dict[str, dict[str, Any]]:
    """By term, over all measured candidates that have it; the total is there too.

    `mean_error_ms` with its 95 % interval, `mae_ms`, the same as shares of the measured totals, and `worst`, the
    candidate whose error is largest in ms.
    """
    totals = draws.of(TOTAL)
    found: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        predicted, measured = predicted_ms(rows, draws.keys, name), draws.of(name)
        chosen = np.isfinite(predicted) & np.isfinite(measured) & (totals > 0)
        if not chosen.any():
            continue
        errors, whole = (predicted - measured)[chosen], totals[chosen]
        low, high = interval(float(errors.mean()), (predicted[chosen] - draws.drawn(name, chosen)).mean(axis=1))
        worst = int(np.argmax(np.abs(errors)))
        found[name] = {
            "candidates": len(errors),
            "mean_error_ms": float(errors.mean()),
            "mean_error_low_ms": low,
            "mean_error_high_ms": high,
            "mae_ms": float(np.abs(errors).mean()),
            "mean_error_share": float((errors / whole).mean()),
            "mae_share": float((np.abs(errors) / whole).mean()),
            "measured_share": float((measured[chosen] / whole).mean()),
            "worst": str(draws.keys[int(np.flatnonzero(chosen)[worst])]),
            "worst_error_ms": float(errors[worst]),
        }
    return found


def emulation_error(
    requested: Mapping[str, float | None],
    achieved: Mapping[str, float | None],
    rows: Sequence[Row],
    on_achieved_ms: Mapping[Key, float],
) -> dict[str, float | None]:
    """What the link's emulation is off, and what that explains of the total's error.

    Args:
        requested, achieved: `rate_up_mbps`, `rtt_ms` as asked for and as probed (None: not measured).
        on_achieved_ms: by candidate, how much longer the link formula takes with what was achieved.

    Returns:
        `rate_up` and `rtt`: achieved / requested - 1. `effect_ms`: the mean of `on_achieved_ms`. `explains`: the
        share of the total's summed |error| that goes away when predictions are moved to the link achieved; 0 when
        none does (constants fitted on the same link have its errors in them already).
    """

    def off(name: str) -> float | None:
        asked, got = requested.get(name), achieved.get(name)
        return got / asked - 1 if asked and got is not None else None

    own = [row for row in rows if row.key in on_achieved_ms and row.measured_ms and row.predicted_ms is not None]
    errors = np.array([(row.predicted_ms or 0.0) - (row.measured_ms or 0.0) for row in own])
    moved = np.array([on_achieved_ms[row.key] for row in own])
    before = float(np.abs(errors).sum())
    explains = max(0.0, 1 - float(np.abs(errors + moved).sum()) / before) if before else None
    return {
        "rate_up": off("rate_up_mbps"),
        "rtt": off("rtt_ms"),
        "effect_ms": float(moved.mean()) if own else None,
        "explains": explains,
    }
