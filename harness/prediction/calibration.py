"""From samples of anchors and echoes to a calibration: medians, and how much they scatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.monotonic import TimedSlice, find_flags, require_usable
from harness.prediction.profile import Calibration, Flag
from harness.results.schema import DEVICE_TERMS, EDGE_TERMS, Key, Sample
from netem.link import LinkSpec

#: Terms of an anchor that belong to a tier; its network terms are those of a one-byte message.
ANCHOR_TERMS = (*DEVICE_TERMS, *EDGE_TERMS)
#: The standard error of a median of normal values is this times the standard deviation / sqrt(n).
_MEDIAN_ERROR = 1.2533
#: Two-sided 95 % of a normal distribution.
_Z95 = 1.96
#: What a slice may take longer because its tier was idle before it and another's was not (DESIGN, "Traps": a trivial
#: call takes 0.12 ms in a loop, up to 0.8 after idleness).
_WAKING_MS = 0.7
#: Stands for the last layer, beyond any cut.
_LAST = 1 << 30


def calibrate(
    anchors: Mapping[str, Sequence[Sample]],
    echoes: Mapping[int, Sequence[Sample]],
    *,
    link: LinkSpec,
    slowdown: float,
    response_bytes: int,
    fingerprint: dict[str, Any],
) -> Calibration:
    """Reduce samples to a calibration.

    Args:
        anchors: by candidate key, samples whose payload stayed off the link.
        echoes: by payload bytes, samples without compute.
        link: the link that the echoes crossed; its theory is taken off.
        slowdown: the pace of the device while they were taken; taken off too.
        response_bytes: what a response weighs.
        fingerprint: what the calibration is valid for.

    Raises:
        HarnessError: anchors contradict each other beyond use.
    """
    anchor_ms = {
        key: {
            term: median(sample.terms[term] for sample in samples) / (slowdown if term in DEVICE_TERMS else 1.0)
            for term in ANCHOR_TERMS
            if term in samples[0].terms
        }
        for key, samples in anchors.items()
    }
    sent = [sample for samples in anchors.values() for sample in samples if sample.key.candidate != "device-only"]
    return Calibration(
        fingerprint=fingerprint,
        anchors=anchor_ms,
        echoes={size: _network(size, samples, link, response_bytes) for size, samples in {1: sent, **echoes}.items()},
        downlink_excess_ms=_downlink_excess_ms(sent, link, response_bytes),
        other_ms=median(sample.other_ms if sample.closed else 0.0 for sample in sent),
        response_bytes=response_bytes,
        compute_spread=_compute_spread(anchors),
        network_spread_ms=_network_spread_ms(echoes),
        compute_tail=_compute_tail(anchors),
        network_tail_ms=_network_tail_ms(echoes),
        link=link.as_dict(),
        flags=_flags(anchors, slowdown),
    )


def over_plain_link(fresh: Calibration, plain: Calibration) -> Calibration:
    """The anchors of `fresh`, and of `plain` what gRPC and the server add to the link's time.

    For a link that varies (a trace, jitter, loss): what its echoes took beyond the theory of its mean is the link's
    own doing, which a prediction counts already.

    Args:
        fresh: interleaved with the measured requests, over the link as it varied.
        plain: of the profile, over a link that did not.
    """
    return replace(
        fresh,
        echoes=plain.echoes,
        downlink_excess_ms=plain.downlink_excess_ms,
        network_spread_ms=plain.network_spread_ms,
        network_tail_ms=plain.network_tail_ms,
        link=plain.link,
    )


def _flags(anchors: Mapping[str, Sequence[Sample]], slowdown: float) -> tuple[Flag, ...]:
    """Heads and tails that were faster than a part of theirs. Raises HarnessError where that makes them useless."""
    heads: dict[int, list[float]] = {}
    tails: dict[int, list[float]] = {}
    for text, samples in anchors.items():
        key = Key.parse(text)
        for sample in samples:
            if "device" in sample.terms:
                end = _LAST if key.split is None else key.split
                heads.setdefault(end, []).append(sample.terms["device"] / slowdown)
            if "edge" in sample.terms:
                tails.setdefault(key.split or 0, []).append(sample.terms["edge"])
    slices = [_timed("head up to cut", 0, cut, values) for cut, values in heads.items()]
    slices += [_timed("tail from cut", cut, _LAST, values) for cut, values in tails.items()]
    # Heads and tails ran on different tiers, so each is held against its own kind.
    of_heads, of_tails = slices[: len(heads)], slices[len(heads) :]
    found = find_flags(of_heads, floor_ms=_WAKING_MS) + find_flags(of_tails, floor_ms=_WAKING_MS)
    flags = tuple(sorted(found, key=lambda flag: -flag.share))
    require_usable(flags, "the calibration")
    return flags


def _timed(what: str, start: int, end: int, values: Sequence[float]) -> TimedSlice:
    middle, error = median(values), _Z95 * _median_error(values)
    name = "the whole model" if (start, end) == (0, _LAST) else f"the {what} {start or end}"
    return TimedSlice(name, start, end, middle, middle - error, middle + error)


def _network(payload_bytes: int, samples: Sequence[Sample], link: LinkSpec, response_bytes: int) -> dict[str, float]:
    """What the server and the protocol add to the link's own time. Where the ways cannot be told apart, since no clock
    is on both ends, all of it counts to the way up, less what theory has of the way down."""
    theory_ms = float(uplink_ms(link, np.array([float(payload_bytes)]))[0])
    if not all(sample.closed for sample in samples):
        theory_ms += downlink_ms(link, float(response_bytes))
    return {
        "uplink_excess": median(_uplink_ms(sample) for sample in samples) - theory_ms,
        "queue": median(sample.terms.get("queue", 0.0) for sample in samples),
    }


def _uplink_ms(sample: Sample) -> float:
    """The way up; both ways, and whatever else no term has, where they cannot be told apart."""
    return sample.terms["uplink"] if sample.closed else sample.other_ms


def _downlink_excess_ms(sent: Sequence[Sample], link: LinkSpec, response_bytes: int) -> float:
    if not all(sample.closed for sample in sent):
        return 0.0
    return median(sample.terms["downlink"] for sample in sent) - downlink_ms(link, response_bytes)


def _compute_ms(samples: Sequence[Sample]) -> list[float]:
    return [sample.terms.get("device", 0.0) + sample.terms.get("edge", 0.0) for sample in samples]


def _network_ms(samples: Sequence[Sample]) -> list[float]:
    return [_uplink_ms(sample) + sample.terms.get("downlink", 0.0) for sample in samples]


def _compute_tail(anchors: Mapping[str, Sequence[Sample]]) -> float:
    """What the 95th percentile of an anchor's compute is above its median, as a share of it; all anchors pooled."""
    ratios = [ms / max(median(own), 1e-9) - 1 for own in map(_compute_ms, anchors.values()) for ms in own]
    return max(0.0, float(np.percentile(ratios, 95))) if ratios else 0.0


def _network_tail_ms(echoes: Mapping[int, Sequence[Sample]]) -> float:
    """What the 95th percentile of an echo's network time is above its median, ms; all echoes pooled."""
    above = [ms - median(own) for own in map(_network_ms, echoes.values()) for ms in own]
    return max(0.0, float(np.percentile(above, 95))) if above else 0.0


def _compute_spread(anchors: Mapping[str, Sequence[Sample]]) -> float:
    """Relative standard error of the median of an anchor's compute: the quadratic mean, as errors add up."""
    medians = [(_median_error(own), median(own)) for own in map(_compute_ms, anchors.values())]
    return _quadratic_mean([error / max(middle, 1e-9) for error, middle in medians])


def _network_spread_ms(echoes: Mapping[int, Sequence[Sample]]) -> float:
    return _quadratic_mean([_median_error(_network_ms(samples)) for samples in echoes.values()])


def _quadratic_mean(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values else 0.0


def _median_error(values: Sequence[float]) -> float:
    """Standard error of a median, from the interquartile range so that one outlier does not decide it."""
    low, high = np.percentile(values, [25, 75])
    return float(_MEDIAN_ERROR * (high - low) / 1.349 / np.sqrt(len(values)))
