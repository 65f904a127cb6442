"""From samples to a calibration: medians, pace and link theory taken off."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.prediction.calibration import ANCHOR_TERMS, calibrate
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.prediction.profile import Calibration
from harness.results.schema import DEVICE_TERMS, Key, Sample
from tests.prediction.synthetic_world import make_link

LINK = make_link()
times = st.lists(st.floats(0.01, 500), min_size=1, max_size=9)


def sample(key: str, order: int = 0, **terms: float) -> Sample:
    return Sample(Key.parse(key), order, sum(terms.values()) + 0.2, terms, 0.2)


def network(size: int, excess_ms: float) -> dict[str, float]:
    up, down = float(uplink_ms(LINK, np.array([float(size)]))[0]), downlink_ms(LINK, 4150)
    return {"uplink": up + excess_ms, "queue": excess_ms / 2, "downlink": down + excess_ms / 4}


def echoes(values: list[float], size: int) -> list[Sample]:
    return [sample("edge-only/float32", **network(size, value)) for value in values]


@given(values=times, slowdown=st.floats(1, 50), excess=times)
def test_medians_with_pace_and_theory_removed(values: list[float], slowdown: float, excess: list[float]) -> None:
    anchors = {
        "split/7/maxpool/float32": [
            sample(
                "split/7/maxpool/float32",
                **{term: v * (slowdown if term in DEVICE_TERMS else 1.0) for term in ANCHOR_TERMS},
                **network(1, v),
            )
            for v in values
        ],
        "device-only": [sample("device-only", device=v * slowdown) for v in values],
        "edge-only/jpeg": [sample("edge-only/jpeg", serialize=v * slowdown, edge=v, **network(1, v)) for v in values],
    }
    found = calibrate(
        anchors,
        {60_000: echoes(excess, 60_000)},
        link=LINK,
        slowdown=slowdown,
        response_bytes=4150,
        fingerprint={"a": 1},
    )
    middle = pytest.approx(median(values))
    assert found.anchors["split/7/maxpool/float32"] == dict.fromkeys(ANCHOR_TERMS, middle)
    assert found.anchors["device-only"] == {"device": middle}
    assert found.anchors["edge-only/jpeg"] == {"serialize": middle, "edge": middle}
    assert found.echoes.keys() == {1, 60_000}  # 1: what anchors send
    for size, own in ((1, values), (60_000, excess)):
        assert found.echoes[size]["uplink_excess"] == pytest.approx(median(own), abs=1e-6)
        assert found.echoes[size]["queue"] == pytest.approx(median(own) / 2)
    assert found.downlink_excess_ms == pytest.approx(median(values) / 4, abs=1e-6)
    assert found.link == LINK.as_dict()
    assert found.other_ms == pytest.approx(0.2)
    assert (found.response_bytes, found.fingerprint) == (4150, {"a": 1})


def test_scatter_does_not_depend_on_one_outlier_and_falls_with_the_number_of_samples() -> None:
    def spread(values: list[float]) -> tuple[float, float]:
        anchors = {"edge-only/uint8": [sample("edge-only/uint8", edge=v, **network(1, v)) for v in values]}
        found = calibrate(
            anchors, {2000: echoes(values, 2000)}, link=LINK, slowdown=1.0, response_bytes=4150, fingerprint={}
        )
        return found.compute_spread, found.network_spread_ms

    steady = [10.0, 10.2, 9.8, 10.1, 9.9, 10.0, 10.1, 9.9]
    assert spread([10.0] * 8) == pytest.approx((0.0, 0.0), abs=1e-9)
    for with_outlier, without in zip(spread([*steady[:-1], 500.0]), spread(steady), strict=True):
        assert with_outlier < 3 * without
    for many, few in zip(spread(steady * 4), spread(steady), strict=True):
        assert many == pytest.approx(few / 2, rel=0.2)


def test_anchors_that_contradict_each_other_are_flagged_and_refused_only_beyond_use() -> None:
    def calibrated(head_ms: float, whole_ms: float, tail_ms: float = 5.0, slowdown: float = 4.0) -> Calibration:
        key = "split/9/maxpool/float32"
        anchors = {
            key: [sample(key, device=slowdown * head_ms, edge=tail_ms, **network(1, 0.1))] * 4,
            "device-only": [sample("device-only", device=slowdown * whole_ms)] * 4,
            "edge-only/uint8": [sample("edge-only/uint8", edge=20.0, **network(1, 0.1))] * 4,
        }
        return calibrate(
            anchors,
            {2000: echoes([1.0] * 4, 2000)},
            link=LINK,
            slowdown=slowdown,
            response_bytes=4150,
            fingerprint={},
        )

    assert calibrated(head_ms=10.0, whole_ms=11.0).flags == ()
    (flag,) = calibrated(head_ms=12.0, whole_ms=9.0).flags
    assert (flag.longer, flag.shorter) == ("the whole model", "the head up to cut 9")
    assert (flag.by_ms, flag.share) == (pytest.approx(3.0), pytest.approx(0.25))
    (flag,) = calibrated(head_ms=10.0, whole_ms=11.0, tail_ms=25.0).flags
    assert (flag.longer, flag.shorter) == ("the whole model", "the tail from cut 9")
    with pytest.raises(HarnessError, match="the calibration cannot be used"):
        calibrated(head_ms=12.0, whole_ms=3.0)
