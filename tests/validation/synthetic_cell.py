"""A cell as DenseNet169 would give it on a slow device, made from a formula: no part of it was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.results.schema import TERMS, Key, Row, Sample
from harness.validation.statistics import fill_measured, summarise

SPLITS = (1, 2, 4, 6, 30, 51, 90, 139, 200, 260, 330, 400, 470, 540, 594)


@dataclass
class SyntheticCell:
    """Rows with their measured columns filled, the samples behind them, and what the link should give."""

    rows: list[Row]
    samples: list[Sample]
    summary: dict
    theory: dict[Key, float]


def make_cell(
    *,
    mbps: float = 57.0,
    rtt_ms: float = 28.0,
    device_ms: float = 900.0,
    edge_ms: float = 80.0,
    samples: int = 10,
    noise: float = 0.01,
    seed: int = 0,
    measured_mbps: float | None = None,
    measured_rtt_ms: float | None = None,
    min_split: int = 5,
) -> SyntheticCell:
    """`measured_mbps` and `measured_rtt_ms` are what the link really does, where not what was asked."""
    random = np.random.default_rng(seed)
    rows, requests, theory = [], [], {}
    for key, share, payload in _candidates():
        predicted = _terms(key, share, payload, device_ms, edge_ms, mbps, rtt_ms)
        actual = _terms(key, share, payload, device_ms, edge_ms, measured_mbps or mbps, measured_rtt_ms or rtt_ms)
        total = sum(predicted.values())
        row = Row(key, payload_bytes=payload or None, predicted_terms=predicted, predicted_ms=total)
        row.forecast_ms, row.paper_ms, row.layer = total * 1.02, total * 1.15, f"layer_{key.split or 'all'}"
        if key.split is not None and key.split < min_split:
            row.feasible = False
            row.infeasible_because = f"cut {key.split} < constraints.min_split {min_split}"
        if key.transfer_layer == "maxpool":
            row.equations = {"delta_t_ms": payload * 3 * 8e-3 / mbps - 1.1}
        rows.append(row)
        if key.candidate != "device-only":
            theory[key] = rtt_ms + payload * 8e-3 / mbps
        for _ in range(samples):
            terms = {term: each * (1 + noise * random.standard_normal()) for term, each in actual.items()}
            other = 0.02 + 0.05 * random.random()
            requests.append(Sample(key, 0, sum(terms.values()) + other, terms, other))
    order = random.permutation(len(requests))
    requests = [
        Sample(each.key, int(place), each.total_ms, each.terms, each.other_ms)
        for each, place in zip(requests, order, strict=True)
    ]
    fill_measured(rows, requests, seed)
    return SyntheticCell(rows, requests, summarise(rows, requests, min_split=min_split), theory)


def _candidates() -> list[tuple[Key, float, int]]:
    """(key, share of the network on the device, payload in bytes)."""
    found = [(Key("device-only"), 1.0, 0)]
    for wire_format, payload in (("float32", 602_112), ("uint8", 150_528), ("jpeg", 31_000)):
        found.append((Key("edge-only", None, "none", wire_format), 0.0, payload))
    for place, split in enumerate(SPLITS):
        share = place / (len(SPLITS) - 1)
        payload = 634_800 if split == 1 else int(3.2e6 * max(0.1, abs(np.cos(place)) * (1 - share)))
        found.append((Key("split", split, "maxpool"), share, payload // 4))
        found.append((Key("split", split, "none"), share, payload))
    return found


def _terms(
    key: Key, share: float, payload: int, device_ms: float, edge_ms: float, mbps: float, rtt_ms: float
) -> dict[str, float]:
    terms: dict[str, float] = {}
    if key.candidate != "edge-only":
        terms["device"] = max(device_ms * share, 0.5)
    if key.candidate != "device-only":
        terms |= {
            "serialize": 0.3,
            "uplink": rtt_ms / 2 + payload * 8e-3 / mbps + 1.2,
            "queue": 0.4,
            "deserialize": 0.3,
            "edge": max(edge_ms * (1 - share), 0.2),
            "downlink": rtt_ms / 2 + 0.4,
        }
    if key.transfer_layer != "none":
        terms |= {"device_tl": 0.6, "edge_tl": 0.5}
    return {term: terms[term] for term in TERMS if term in terms}
