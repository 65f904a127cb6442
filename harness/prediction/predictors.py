"""Predictors: from parameters and a link to the terms of every candidate.

`paper` is Eqs. 1 to 6 of the paper on compiled block sums. `calibrated` fits whole heads and tails at anchor cuts
and adds the link's TCP theory and the measured cost of an empty request.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.prediction.blocks import scission_cumulative_ms
from harness.prediction.calibration import PACED_TERMS
from harness.prediction.fitting import CODEC_TERMS, Parameters, fit
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.profile import Profiles
from harness.results.schema import EQUATIONS, Key, Row
from netem.link import LinkSpec

__all__ = ["Parameters", "fit", "interval_ms", "paper", "predict", "total_ms"]

#: Two-sided 95 % of a normal distribution.
_Z95 = 1.96


def predict(
    parameters: Parameters, link: LinkSpec, rows: Sequence[Row], *, slowdown: float
) -> dict[Key, dict[str, float]]:
    """Terms in ms of every row that is possible at all (a payload, or none needed), by key."""
    sent = [row for row in rows if row.payload_bytes is not None]
    sizes = np.array([float(row.payload_bytes or 0) for row in sent])
    uplink = uplink_ms(link, sizes) + parameters.uplink_excess[0] + parameters.uplink_excess[1] * sizes
    queue = parameters.queue[0] + parameters.queue[1] * sizes
    downlink = downlink_ms(link, parameters.response_bytes) + parameters.downlink_excess_ms
    predictions = {row.key: {"device": slowdown * parameters.head_ms[parameters.last]} for row in rows if _local(row)}
    for row, uplink_time, queue_time in zip(sent, uplink, queue, strict=True):
        terms = {
            term: ms * (slowdown if term in PACED_TERMS else 1.0)
            for term, ms in _codec_ms(parameters, row.key, row.payload_bytes or 0).items()
        }
        if row.key.candidate == "split":
            terms["device"] = slowdown * parameters.head_ms[row.key.split or 0]
        terms |= {
            "uplink": float(uplink_time),
            "queue": float(queue_time),
            "edge": parameters.tail_ms[row.key.split or 0],
            "downlink": downlink,
        }
        predictions[row.key] = terms
    return predictions


def _codec_ms(parameters: Parameters, key: Key, payload_bytes: int) -> dict[str, float]:
    if key.candidate == "edge-only":
        return parameters.input_codec_ms[key.wire_format]
    terms = ("serialize", "deserialize") if key.transfer_layer == "none" else CODEC_TERMS
    return {
        term: parameters.codec[term][0] + parameters.codec[term][1] * payload_bytes
        for term in terms
        if term in parameters.codec
    }


def interval_ms(parameters: Parameters, terms: dict[str, float]) -> tuple[float, float]:
    """95 % interval of a prediction: compute scales with the anchors' error, the network adds its own."""
    compute = [terms[term] for term in ("device", "device_tl", "serialize", "edge_tl", "edge") if term in terms]
    network = parameters.network_error_ms if "uplink" in terms else 0.0
    error = _Z95 * float(np.hypot(parameters.relative_error * sum(compute), network))
    total = total_ms(parameters, terms)
    return max(0.0, total - error), total + error


def total_ms(parameters: Parameters, terms: dict[str, float]) -> float:
    """A request's total: its terms, and what lies between them where something was sent."""
    return sum(terms.values()) + (parameters.other_ms if "uplink" in terms else 0.0)


def paper(profiles: Profiles, link: LinkSpec, rows: Sequence[Row], *, slowdown: float) -> dict[Key, dict[str, float]]:
    """Eqs. 1 to 6 of the paper for every possible row, and `paper_ms`: blocks 0..i on the device + E_TL + S_TL +
    C_TL + blocks i+1..n on the edge.

    `Latency` is the link's round trip, `Size` the payload, `Bandwidth` the uplink's rate. A row without transfer
    layer has E_TL = 0 (original Scission); S_Orig and C_Orig are those of the same cut sent as it is.
    """
    cuts = profiles.device.cuts
    device = scission_cumulative_ms(profiles.device) * slowdown
    edge = scission_cumulative_ms(profiles.edge)
    position = {cut.index: place for place, cut in enumerate(cuts)}
    by_key = {row.key: row for row in rows}
    results: dict[Key, dict[str, float]] = {}
    for row in rows:
        key = row.key
        if _local(row):
            results[key] = {"paper_ms": float(device[-1])}
            continue
        if row.payload_bytes is None:
            continue
        head = float(device[position[key.split]]) if key.split else 0.0
        tail = float(edge[-1] - (edge[position[key.split]] if key.split else 0.0))
        e_tl, s_tl, c_tl = _paper_terms(profiles, link, row, slowdown)
        results[key] = {"paper_ms": head + e_tl + s_tl + c_tl + tail}
        plain = by_key.get(Key("split", key.split, "none", key.wire_format))
        if key.transfer_layer != "none" and plain is not None:
            _, s_orig, c_orig = _paper_terms(profiles, link, plain, slowdown)
            delta_t = (s_orig + c_orig) - (e_tl + s_tl + c_tl)
            results[key] |= dict(zip(EQUATIONS, (e_tl, s_tl, c_tl, s_orig, c_orig, delta_t), strict=True))
    return results


def _paper_terms(profiles: Profiles, link: LinkSpec, row: Row, slowdown: float) -> tuple[float, float, float]:
    """E, S and C of a row: Eqs. 1, 2 and 4, or for a row without transfer layer 0 and Eqs. 3 and 5."""
    device, edge = profiles.device.codec_ms[str(row.key)], profiles.edge.codec_ms[str(row.key)]
    e_tl = 0.0
    if row.key.transfer_layer != "none":  # a profile times nothing there, which takes a few microseconds
        e_tl = slowdown * device["device_tl"] + edge["edge_tl"]
    s_tl = slowdown * device["serialize"] + edge["deserialize"]
    c_tl = link.rtt_ms + (row.payload_bytes or 0) * 8 / (link.rate_up_mbps * 1e3)
    return e_tl, s_tl, c_tl


def _local(row: Row) -> bool:
    return row.key.candidate == "device-only"
