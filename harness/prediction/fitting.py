"""Fits the calibrated predictor: whole heads and tails at anchor cuts, and what an empty request costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.prediction.profile import Calibration, Profiles, TierProfile
from harness.results.schema import Key
from harness.transfer import layers, wire

#: Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom (any table of it); then the normal's.
_STUDENT_T95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_NORMAL95 = 1.96

CODEC_TERMS = ("device_tl", "serialize", "deserialize", "edge_tl")

#: (constant in ms, slope in ms per payload byte).
Line = tuple[float, float]


@dataclass(frozen=True)
class Parameters:
    """What `fit` learns from profiles and a calibration. Times in ms, the device's own before its pace.

    head_ms, tail_ms: by cut index; a head at the last layer, or a tail at 0, is the whole model.
    codec: by term, what transfer layer and wire format cost a split.
    input_codec_ms: by wire format, what the terms of edge-only cost.
    uplink_excess, queue, and each codec: (constant in ms, slope in ms per payload byte).
    head_error, tail_error: relative, what interpolating between anchors may be off by, with 95 % confidence.
    compute_spread, network_spread_ms: one standard error of a median.
    compute_tail, network_tail_ms: from the median to the 95th percentile of single requests.
    """

    head_ms: dict[int, float]
    tail_ms: dict[int, float]
    last: int
    codec: dict[str, Line]
    input_codec_ms: dict[str, dict[str, float]]
    uplink_excess: Line
    queue: Line
    downlink_excess_ms: float
    other_ms: float
    response_bytes: int
    head_error: float
    tail_error: float
    compute_spread: float
    network_spread_ms: float
    compute_tail: float
    network_tail_ms: float


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
        codec=_codec(profiles, own),
        input_codec_ms={
            key.wire_format: {term: own.anchors[text][term] for term in ("serialize", "deserialize")}
            for text, key in keys.items()
            if key.candidate == "edge-only"
        },
        uplink_excess=_line({size: terms["uplink_excess"] for size, terms in own.echoes.items()}),
        queue=_line({size: terms["queue"] for size, terms in own.echoes.items()}),
        downlink_excess_ms=own.downlink_excess_ms,
        other_ms=own.other_ms,
        response_bytes=own.response_bytes,
        head_error=head_error,
        tail_error=tail_error,
        compute_spread=own.compute_spread,
        network_spread_ms=own.network_spread_ms,
        compute_tail=own.compute_tail,
        network_tail_ms=own.network_tail_ms,
    )


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

    Between anchors, time grows with the sum of the fine blocks, each less what a call of its own costs. Before
    the first anchor it starts at the cost of a call; beyond the last the nearest stretch goes on.

    Returns:
        Time in ms by cut index, and the relative error of a time between anchors, with 95 % confidence.
    """
    whole = anchors.get(0 if reverse else profile.last)
    work_ms, call_ms = _without_calls(np.asarray(profile.block_ms), whole)
    cumulative = np.concatenate(([0.0], np.cumsum(work_ms)))
    indices = [0, *(cut.index for cut in profile.cuts), profile.last]
    x_of = dict(zip(indices, (cumulative[-1] - cumulative) if reverse else cumulative, strict=True))
    points = sorted((float(x_of[index]), ms) for index, ms in anchors.items() if index in x_of)
    if points[0][0] > 0.0:
        points.insert(0, (0.0, call_ms))  # no layers at all still cost a call
    x, y = (np.array(column) for column in zip(*points, strict=True))
    times = {index: float(_line_through(np.array([x_of[index]]), x, y)[0]) for index in indices}
    errors = [
        float(_line_through(x[i : i + 1], np.delete(x, i), np.delete(y, i))[0]) / y[i] - 1
        for i in range(1, len(points) - 1)
    ]
    return times, _interpolation_error(errors)


def student_t95(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's t for 1 or more degrees of freedom; the normal's beyond the table."""
    return _STUDENT_T95[degrees - 1] if degrees <= len(_STUDENT_T95) else _NORMAL95


def _interpolation_error(left_out: list[float]) -> float:
    """Relative error, with 95 % confidence, of a time between anchors, from those of anchors left out in turn.

    Leaving an anchor out doubles the gap to bridge. What a sum of blocks misses wanders like a random walk, whose
    bridge over twice the gap is off by sqrt(2) times as much. So few errors need Student's t. None: nothing to tell.
    """
    if not left_out:
        return 0.0
    rms = float(np.sqrt(np.mean(np.square(left_out))))
    return student_t95(len(left_out)) * rms / float(np.sqrt(2.0))


def _without_calls(block_ms: NDArray[np.float64], whole_ms: float | None) -> tuple[NDArray[np.float64], float]:
    """Blocks less what calling each alone adds, the same for each, so that they sum to the whole; and that cost.

    Run one by one the blocks of DenseNet169 sum to 1.5 times the model: every call has a cost, and what is fused
    into a neighbour (a lone batch normalisation, a padding) is paid for in full. A block keeps at least a tenth.
    """
    if whole_ms is None or whole_ms >= block_ms.sum():
        return block_ms, 0.0
    low, high = 0.0, float(block_ms.max())
    for _ in range(60):
        cost = (low + high) / 2
        if np.maximum(block_ms - cost, block_ms / 10).sum() > whole_ms:
            low = cost
        else:
            high = cost
    return np.maximum(block_ms - high, block_ms / 10), high


def _line_through(at: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Piecewise linear through the points; beyond the last one its stretch goes on."""
    inside = np.interp(at, x, y)
    last = (y[-1] - y[-2]) / max(x[-1] - x[-2], 1e-9)
    return np.maximum(np.where(at > x[-1], y[-1] + last * (at - x[-1]), inside), 0.0)


def _codec(profiles: Profiles, calibration: Calibration) -> dict[str, Line]:
    """Transfer layer and wire format of a split, by payload bytes, from the anchors.

    The profile's own codec times (each run alone in a loop) are half of what a request takes, whose caches are
    cold from the head; they serve the paper's equations.
    """
    shapes = {cut.index: cut.shape for cut in profiles.device.cuts}
    times: dict[str, dict[int, float]] = {}
    for text, terms in calibration.anchors.items():
        key = Key.parse(text)
        if key.candidate != "split" or key.split not in shapes:
            continue
        payload = layers.get(key.transfer_layer).payload_shape(shapes[key.split])
        size = wire.get(key.wire_format).payload_bytes((1, *payload))
        for term in CODEC_TERMS:
            if term in terms and size is not None:
                times.setdefault(term, {})[size] = terms[term]
    return {term: _line(by_size) for term, by_size in times.items()}


def _line(values: dict[int, float]) -> tuple[float, float]:
    """Least-squares line through a value by payload bytes: (constant, slope); never falling with size."""
    sizes = np.array(sorted(values), dtype=np.float64)
    heights = np.array([values[int(size)] for size in sizes])
    if len(sizes) < 2:
        return float(heights[0]), 0.0
    slope = max(0.0, float(np.polyfit(sizes, heights, 1)[0]))
    return float(np.mean(heights) - slope * np.mean(sizes)), slope
