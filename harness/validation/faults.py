"""Faults planted into a prediction, one at a time: what a gate that is worth having sees (pure recomputation).

Where a fault can go either way (a rate eight times too high or too low), the way that moves a latency less is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.prediction.predictors import Evidence, Prediction
from harness.prediction.profile import TierProfile
from harness.results.schema import Key
from netem.link import RATE_MBPS_RANGE, LinkSpec
from netem.theory import link_rate_mbps, mss_bytes

#: What a predictor makes of evidence and a link, by candidate.
Predict = Callable[[Evidence, LinkSpec], Mapping[Key, Prediction]]

#: How much slower the slowed block is.
_SLOWER = 10.0


@dataclass(frozen=True)
class Setting:
    """What a prediction was made from.

    slowdown: pace of the device, which its profile does not know.
    """

    evidence: Evidence
    link: LinkSpec
    slowdown: float
    predict: Predict


@dataclass(frozen=True)
class Terms:
    """A prediction by term and in total, ms."""

    terms: Mapping[str, float]
    total_ms: float

    def plus(self, term: str, ms: float) -> Terms:
        """The same with one term longer by `ms`."""
        return Terms({**self.terms, term: self.terms.get(term, 0.0) + ms}, self.total_ms + ms)


@dataclass(frozen=True)
class Planted:
    """A prediction with a fault in it, and the link that its formula believes in."""

    predictions: dict[Key, Terms]
    link: LinkSpec


def mbit_for_mbyte(setting: Setting) -> Planted:
    """The uplink's rate taken in Mbyte/s: eight times the rate (where no such link exists, an eighth)."""
    rate = setting.link.rate_up_mbps
    fits = rate * 8 <= RATE_MBPS_RANGE[1]
    return _predicted(setting, link=replace(setting.link, rate_up_mbps=rate * 8 if fits else rate / 8))


def one_way_for_round_trip(setting: Setting) -> Planted:
    """The round trip taken for what two ways take: half the delay each way."""
    link = setting.link
    return _predicted(
        setting, link=replace(link, delay_up_ms=link.delay_up_ms / 2, delay_down_ms=link.delay_down_ms / 2)
    )


def headers_and_fixed_costs_dropped(setting: Setting) -> Planted:
    """No header bytes in any segment, and nothing that gRPC and the server add: a rate is a goodput."""
    link, mss = setting.link, mss_bytes(setting.link.mtu)
    up, down = (
        min(link_rate_mbps(rate, mss=mss), RATE_MBPS_RANGE[1]) for rate in (link.rate_up_mbps, link.rate_down_mbps)
    )
    known = setting.evidence.calibration or setting.evidence.profiled().calibration
    bare = replace(
        known,
        echoes={size: terms | {"uplink_excess": 0.0} for size, terms in known.echoes.items()},
        downlink_excess_ms=0.0,
        other_ms=0.0,
    )
    return _predicted(
        setting,
        evidence=replace(setting.evidence, calibration=bare),
        link=replace(link, rate_up_mbps=up, rate_down_mbps=down),
    )


def triton_queue_dropped(setting: Setting) -> Planted:
    """The server answers at once."""
    planted = _predicted(setting)
    without = {key: own.plus("queue", -own.terms.get("queue", 0.0)) for key, own in planted.predictions.items()}
    return replace(planted, predictions=without)


def largest_device_block_x10(setting: Setting) -> Planted:
    """The device's longest block ten times slower, in every head that holds it."""
    profile = setting.evidence.profiled().device
    block, more_ms = _largest(profile)
    planted = _predicted(setting)
    slower = {
        key: own.plus("device", more_ms * setting.slowdown) if _head_holds(profile, key, block) else own
        for key, own in planted.predictions.items()
    }
    return replace(planted, predictions=slower)


def largest_edge_block_x10(setting: Setting) -> Planted:
    """The edge's longest block ten times slower, in every tail that holds it."""
    profile = setting.evidence.profiled().edge
    block, more_ms = _largest(profile)
    planted = _predicted(setting)
    slower = {
        key: own.plus("edge", more_ms)
        if key.candidate != "device-only" and not (key.split and _head_holds(profile, key, block))
        else own
        for key, own in planted.predictions.items()
    }
    return replace(planted, predictions=slower)


#: By name, in the order in which they are planted.
FAULTS: Mapping[str, Callable[[Setting], Planted]] = {
    fault.__name__: fault
    for fault in (
        mbit_for_mbyte,
        one_way_for_round_trip,
        headers_and_fixed_costs_dropped,
        triton_queue_dropped,
        largest_device_block_x10,
        largest_edge_block_x10,
    )
}


def _predicted(setting: Setting, *, evidence: Evidence | None = None, link: LinkSpec | None = None) -> Planted:
    link = link or setting.link
    made = setting.predict(evidence or setting.evidence, link)
    return Planted({key: Terms(own.terms, own.total_ms) for key, own in made.items()}, link)


def _largest(profile: TierProfile) -> tuple[int, float]:
    """Place of the longest block, and what it takes longer when slowed: its work, not its call."""
    block = int(np.argmax(profile.block_ms))
    return block, (_SLOWER - 1) * max(0.0, profile.block_ms[block] - profile.call_ms)


def _head_holds(profile: TierProfile, key: Key, block: int) -> bool:
    """Block i ends at the i-th cut, the one behind them all at the model's end."""
    if key.candidate == "device-only":
        return True
    place = next((place for place, cut in enumerate(profile.cuts) if cut.index == key.split), -1)
    return place >= block
