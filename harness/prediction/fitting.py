"""Fits the calibrated predictor: whole heads and tails at anchor cuts, and what an empty request costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.prediction.codecs import CODEC_TERMS, Line, anchored_by_size, timed_alone
from harness.prediction.curve import through_anchors
from harness.prediction.profile import Calibration, Profiles
from harness.prediction.recording import Recording
from harness.results.schema import Key


@dataclass(frozen=True)
class Parameters:
    """What `fit` learns from profiles and a calibration. Times in ms, the device's own before its pace.

    head_ms, tail_ms: by cut index; a head at the last layer, or a tail at 0, is the whole model.
    codec: by term, what transfer layer and wire format cost a split.
    input_codec_ms: by wire format, what the terms of edge-only cost.
    uplink_excess, queue, and each codec: (constant in ms, slope in ms per payload byte).
    head_error_ms, tail_error_ms: what interpolating between anchors may be off by, with 95 % confidence.
    compute_spread, network_spread_ms: one standard error of a median.
    compute_tail, network_tail_ms: from the median to the 95th percentile of single requests.
    known_ms: by candidate key and term, in place of a line: what the profile timed alone (`harness.prediction.codecs`),
        or what a replayed tier is told to take.
    """

    head_ms: dict[int, float]
    tail_ms: dict[int, float]
    head_error_ms: dict[int, float]
    tail_error_ms: dict[int, float]
    last: int
    codec: dict[str, Line]
    input_codec_ms: dict[str, dict[str, float]]
    uplink_excess: Line
    queue: Line
    downlink_excess_ms: float
    other_ms: float
    response_bytes: int
    compute_spread: float
    network_spread_ms: float
    compute_tail: float
    network_tail_ms: float
    known_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


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
    head = through_anchors(profiles.device, heads, own.compute_spread, reverse=False)
    tail = through_anchors(profiles.edge, tails, own.compute_spread, reverse=True)
    fitted = Parameters(
        head_ms=head.time_ms,
        tail_ms=tail.time_ms,
        head_error_ms=head.error_ms,
        tail_error_ms=tail.error_ms,
        last=profiles.device.last,
        codec={term: line_through(times) for term, times in anchored_by_size(profiles, own).items()},
        known_ms=timed_alone(profiles, own),
        input_codec_ms={
            key.wire_format: {term: own.anchors[text][term] for term in ("serialize", "deserialize")}
            for text, key in keys.items()
            if key.candidate == "edge-only"
        },
        uplink_excess=line_through({size: terms["uplink_excess"] for size, terms in own.echoes.items()}),
        queue=line_through({size: terms["queue"] for size, terms in own.echoes.items()}),
        downlink_excess_ms=own.downlink_excess_ms,
        other_ms=own.other_ms,
        response_bytes=own.response_bytes,
        compute_spread=own.compute_spread,
        network_spread_ms=own.network_spread_ms,
        compute_tail=own.compute_tail,
        network_tail_ms=own.network_tail_ms,
    )
    for recording in profiles.recordings.values():
        fitted = _with_recording(fitted, recording)
    return fitted


def _with_recording(fitted: Parameters, recording: Recording) -> Parameters:
    """A replayed tier computes nothing: what it takes is told, and interpolated nowhere."""
    codecs = {
        key: {term: ms for term, ms in terms.items() if term in CODEC_TERMS}
        for key, terms in recording.terms_ms.items()
    }
    known = {key: {**fitted.known_ms.get(key, {}), **terms} for key, terms in codecs.items()}
    fitted = replace(fitted, known_ms={**fitted.known_ms, **known})
    work_ms = recording.work_ms()
    exact = dict.fromkeys(work_ms, 0.0)
    if recording.tier == "device":
        return replace(fitted, head_ms=fitted.head_ms | work_ms, head_error_ms=fitted.head_error_ms | exact)
    return replace(fitted, tail_ms=fitted.tail_ms | work_ms, tail_error_ms=fitted.tail_error_ms | exact)


def _anchored(
    calibration: Calibration, keys: Mapping[str, Key], term: str, cut: Callable[[Key], int]
) -> dict[int, float]:
    """Anchored times of a term by cut; the median where several anchors share one (edge-only in three formats)."""
    times: dict[int, list[float]] = {}
    for text, terms in calibration.anchors.items():
        if term in terms:
            times.setdefault(cut(keys[text]), []).append(terms[term])
    return {index: float(np.median(values)) for index, values in times.items()}


def line_through(values: Mapping[int, float] | Sequence[tuple[int, float]]) -> Line:
    """Least-squares line through values by payload bytes: (constant, slope); never falling with size.

    Args:
        values: by size, or in pairs (size, value), of which several may be of one size; at least one.
    """
    pairs = values.items() if isinstance(values, Mapping) else values
    sizes, heights = (np.array(own, dtype=np.float64) for own in zip(*sorted(pairs), strict=True))
    if np.ptp(sizes) == 0:
        return float(np.mean(heights)), 0.0
    slope = max(0.0, float(np.polyfit(sizes, heights, 1)[0]))
    return float(np.mean(heights) - slope * np.mean(sizes)), slope
