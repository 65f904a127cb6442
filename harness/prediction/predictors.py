"""Predictors: from parameters and a link to the terms of every candidate.

`paper` is Eqs. 1 to 6 of the paper on compiled block sums. `calibrated` fits whole heads and tails at anchor cuts
and adds the link's TCP theory and the measured cost of an empty request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.prediction.blocks import scission_cumulative_ms
from harness.prediction.calibration import PACED_TERMS
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.profile import Calibration, Profiles, TierProfile
from harness.results.schema import EQUATIONS, Key, Row
from netem.link import LinkSpec

#: Two-sided 95 % of a normal distribution.
_Z95 = 1.96


@dataclass(frozen=True)
class Parameters:
    """What `fit` learns from profiles and a calibration. Times in ms, the device's own before its pace.

    head_ms, tail_ms: by cut index; a head at the last layer, or a tail at 0, is the whole model.
    codec_ms: by candidate key, the terms that transfer layer and wire format cost.
    uplink_excess, queue: (constant in ms, slope in ms per payload byte).
    """

    head_ms: dict[int, float]
    tail_ms: dict[int, float]
    last: int
    codec_ms: dict[str, dict[str, float]]
    uplink_excess: tuple[float, float]
    queue: tuple[float, float]
    downlink_excess_ms: float
    other_ms: float
    response_bytes: int
    relative_error: float
    network_error_ms: float


def fit(profiles: Profiles, calibration: Calibration | None = None) -> Parameters:
    """Fit the calibrated predictor.

    Args:
        profiles: block and codec times of both tiers, and the calibration that came with them.
        calibration: a fresher one (anchors interleaved with the measured requests); None: the profiles' own.
    """
    own = calibration or profiles.calibration
    keys = {text: Key.parse(text) for text in own.anchors}
    heads = _anchored(own, keys, "device", lambda key: key.split or profiles.device.last)
    tails = _anchored(own, keys, "edge", lambda key: key.split or 0)
    head_ms, head_error = _through_anchors(profiles.device, heads, reverse=False)
    tail_ms, tail_error = _through_anchors(profiles.edge, tails, reverse=True)
    return Parameters(
        head_ms=head_ms,
        tail_ms=tail_ms,
        last=profiles.device.last,
        codec_ms=_codec_ms(profiles, own),
        uplink_excess=_line({size: terms["uplink_excess"] for size, terms in own.echoes.items()}),
        queue=_line({size: terms["queue"] for size, terms in own.echoes.items()}),
        downlink_excess_ms=own.downlink_excess_ms,
        other_ms=own.other_ms,
        response_bytes=own.response_bytes,
        relative_error=float(np.hypot(max(head_error, tail_error), own.compute_spread)),
        network_error_ms=own.network_spread_ms,
    )


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
            for term, ms in parameters.codec_ms[str(row.key)].items()
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
    e_tl = slowdown * device.get("device_tl", 0.0) + edge.get("edge_tl", 0.0)
    s_tl = slowdown * device["serialize"] + edge["deserialize"]
    c_tl = link.rtt_ms + (row.payload_bytes or 0) * 8 / (link.rate_up_mbps * 1e3)
    return e_tl, s_tl, c_tl


def _anchored(
    calibration: Calibration, keys: Mapping[str, Key], term: str, cut: Callable[[Key], int]
) -> dict[int, float]:
    """Anchored times of a term by cut; the median where several anchors share one (edge-only in three formats)."""
    times: dict[int, list[float]] = {}
    for text, terms in calibration.anchors.items():
        if term in terms:
            times.setdefault(cut(keys[text]), []).append(terms[term])
    return {index: float(np.median(values)) for index, values in times.items()}


def _through_anchors(
    profile: TierProfile, anchors: dict[int, float], *, reverse: bool
) -> tuple[dict[int, float], float]:
    """Times of all heads (or, with `reverse`, tails) from the measured ones.

    Between anchors, time grows with the sum of the fine blocks, each less what a call of its own costs. Beyond
    the outermost anchors the nearest stretch goes on.

    Returns:
        Time in ms by cut index, and the relative error that leaving out each inner anchor in turn would make.
    """
    whole = anchors.get(0 if reverse else profile.last)
    cumulative = np.concatenate(([0.0], np.cumsum(_work_ms(np.asarray(profile.block_ms), whole))))
    indices = [0, *(cut.index for cut in profile.cuts), profile.last]
    x_of = dict(zip(indices, (cumulative[-1] - cumulative) if reverse else cumulative, strict=True))
    points = sorted((float(x_of[index]), ms) for index, ms in anchors.items() if index in x_of)
    if len(points) == 1:
        points.insert(0, (0.0, 0.0))
    x, y = (np.array(column) for column in zip(*points, strict=True))
    times = {index: float(_line_through(np.array([x_of[index]]), x, y)[0]) for index in indices}
    inner = range(1, len(points) - 1)
    # Leaving an anchor out doubles the distance to bridge, so the error with it there is at most half as large.
    errors = [
        abs(float(_line_through(x[i : i + 1], np.delete(x, i), np.delete(y, i))[0]) / y[i] - 1) / 2 for i in inner
    ]
    return times, float(np.median(errors)) if errors else 0.0


def _work_ms(block_ms: NDArray[np.float64], whole_ms: float | None) -> NDArray[np.float64]:
    """Blocks without what calling each alone adds: the same cost off each, so that they sum to the whole.

    Run one by one the blocks of DenseNet169 sum to 1.5 times the model: every call has a cost, and what is fused
    into a neighbour (a lone batch normalisation, a padding) is paid for in full. A block keeps at least a tenth.
    """
    if whole_ms is None or whole_ms >= block_ms.sum():
        return block_ms
    low, high = 0.0, float(block_ms.max())
    for _ in range(60):
        cost = (low + high) / 2
        if np.maximum(block_ms - cost, block_ms / 10).sum() > whole_ms:
            low = cost
        else:
            high = cost
    return np.maximum(block_ms - high, block_ms / 10)


def _line_through(at: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Piecewise linear through the points; outside, the first or last stretch goes on."""
    inside = np.interp(at, x, y)
    first = (y[1] - y[0]) / max(x[1] - x[0], 1e-9)
    last = (y[-1] - y[-2]) / max(x[-1] - x[-2], 1e-9)
    inside = np.where(at < x[0], y[0] + first * (at - x[0]), inside)
    return np.maximum(np.where(at > x[-1], y[-1] + last * (at - x[-1]), inside), 0.0)


def _codec_ms(profiles: Profiles, calibration: Calibration) -> dict[str, dict[str, float]]:
    """Transfer layer and wire format of every candidate: the profile's times, term by term plus what a whole
    request takes longer than the same work alone in a loop (caches cold from the head, a core that was idle).

    That difference hardly depends on the size of the tensor, so it is a constant: the median over the anchors.
    """
    alone = {
        text: profiles.device.codec_ms[text] | profiles.edge.codec_ms[text]
        for text in profiles.device.codec_ms
        if text in profiles.edge.codec_ms
    }
    extra = {}
    for term in ("device_tl", "serialize", "deserialize", "edge_tl"):
        differences = [
            anchor[term] - alone[text][term]
            for text, anchor in calibration.anchors.items()
            if term in anchor and text in alone and Key.parse(text).candidate == "split"
        ]
        extra[term] = float(np.median(differences)) if differences else 0.0
    result = {}
    for text, terms in alone.items():
        measured = calibration.anchors.get(text, {})
        key = Key.parse(text)
        result[text] = {
            # An input codec (JPEG) is nothing like a tensor's: it has its own anchor.
            term: measured.get(term, ms) if key.candidate == "edge-only" else max(0.0, ms + extra[term])
            for term, ms in terms.items()
            if key.transfer_layer != "none" or term in ("serialize", "deserialize")
        }
    return result


def _line(values: dict[int, float]) -> tuple[float, float]:
    """Least-squares line through a value by payload bytes: (constant, slope); never falling with size."""
    sizes = np.array(sorted(values), dtype=np.float64)
    heights = np.array([values[int(size)] for size in sizes])
    if len(sizes) < 2:
        return float(heights[0]), 0.0
    slope = max(0.0, float(np.polyfit(sizes, heights, 1)[0]))
    return float(np.mean(heights) - slope * np.mean(sizes)), slope


def _local(row: Row) -> bool:
    return row.key.candidate == "device-only"
