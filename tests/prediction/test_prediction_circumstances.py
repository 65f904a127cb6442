"""The state of the connection, jitter, loss and traces in predictions: counted in, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction import predictors
from harness.prediction.circumstances import Circumstances, network_ms, plain, predict, require_predictable
from harness.prediction.predictors import Evidence, Prediction
from harness.results.schema import Key
from netem.impairments import Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.variability import TracePoints
from tests.prediction.synthetic_world import RESPONSE_BYTES, World, make_link

WORLD = World()
ROWS = WORLD.rows()
WARM = Circumstances()


def found(
    link: LinkSpec | None = None, circumstances: Circumstances = WARM, name: str = "calibrated"
) -> dict[Key, Prediction]:
    model = predictors.fit(name, Evidence(WORLD.profiles()))
    return predict(model, link or make_link(), ROWS, slowdown=10.0, circumstances=circumstances)


def trace(rates: list[float], lengths: list[float] | None = None, loss: float = 0.0) -> TracePoints:
    count = len(rates)
    return TracePoints(np.array(lengths or [1.0] * count), np.array(rates), np.full(count, 14.0), np.full(count, loss))


def impaired(**values: Any) -> LinkSpec:
    return replace(make_link(), impairments_up=Impairments(**values))


def test_on_a_plain_link_it_is_the_model_s_own_prediction() -> None:
    model = predictors.fit("calibrated", Evidence(WORLD.profiles()))
    assert found() == model.predict(make_link(), ROWS, slowdown=10.0).predictions()
    assert plain(make_link(), WARM)


@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_jitter_widens_every_interval_of_what_is_sent(name: str) -> None:
    still, moved = found(name=name), found(impaired(jitter_ms=2.0, jitter_distribution="uniform"), name=name)
    assert not plain(impaired(jitter_ms=2.0), WARM)
    for key, own in moved.items():
        if key.candidate == "device-only":
            assert own == still[key]
            continue
        assert own.high_ms - own.low_ms > still[key].high_ms - still[key].low_ms
        assert own.p95_ms - own.total_ms > still[key].p95_ms - still[key].total_ms
        assert own.terms["uplink"] >= still[key].terms["uplink"]


def test_more_requests_narrow_what_a_random_link_adds() -> None:
    link = impaired(jitter_ms=2.0, jitter_distribution="uniform")
    few, many = (found(link, Circumstances(requests=count)) for count in (4, 400))
    key = Key("split", 4, "none")
    assert many[key].high_ms - many[key].low_ms < few[key].high_ms - few[key].low_ms


@given(st.lists(st.floats(5, 100), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_over_a_trace_a_prediction_lies_between_its_slowest_and_its_fastest_step(rates: list[float]) -> None:
    over = found(circumstances=Circumstances(trace=trace(rates)))
    fast, slow = found(make_link(max(rates))), found(make_link(min(rates)))
    for key, own in over.items():
        assert fast[key].total_ms - 1e-9 <= own.total_ms <= slow[key].total_ms + 1e-9
        assert own.low_ms <= own.total_ms <= own.high_ms
        assert own.total_ms <= own.p95_ms


def test_a_trace_of_one_rate_is_that_link_and_one_that_changes_is_less_sure() -> None:
    same, still = found(circumstances=Circumstances(trace=trace([57.0, 57.0]))), found()
    swinging = found(circumstances=Circumstances(trace=trace([20.0, 57.0, 94.0])))
    sizes = {row.key: row.payload_bytes or 0 for row in ROWS}
    for key, own in still.items():
        assert same[key].total_ms == pytest.approx(own.total_ms)
        if sizes[key] > make_link().burst_bytes:  # the bucket lets less than that through at once, whatever the rate
            assert swinging[key].high_ms - swinging[key].low_ms > own.high_ms - own.low_ms


def test_a_new_connection_costs_round_trips_and_an_idle_one_its_slow_start() -> None:
    key = Key("split", 4, "none")
    new = found(circumstances=Circumstances(connection="new"))
    assert new[key].terms["uplink"] >= found()[key].terms["uplink"] + 2 * 28
    kept = found(circumstances=Circumstances(connection="idle", pause_ms=1000))
    assert kept == found()  # no slow start after idle
    policy = TcpPolicy("cubic", slow_start_after_idle=True)
    link = replace(make_link(), tcp=policy)
    big = max((row for row in ROWS if row.payload_bytes), key=lambda row: row.payload_bytes or 0).key
    short, long = (found(link, Circumstances(connection="idle", pause_ms=pause)) for pause in (1, 5000))
    assert long[big].terms["uplink"] >= short[big].terms["uplink"]
    assert found(link, WARM)[big].terms["uplink"] >= found()[big].terms["uplink"]


def test_the_network_by_formula_is_the_prediction_without_what_was_fitted() -> None:
    predicted = found()
    rows = [replace(row, predicted_terms=predicted[row.key].terms) for row in ROWS if row.payload_bytes]
    by_formula = network_ms(make_link(), rows, RESPONSE_BYTES, WARM)
    for row in rows:
        fitted = WORLD.uplink_excess[0] + WORLD.uplink_excess[1] * (row.payload_bytes or 0) + WORLD.downlink_excess_ms
        terms = row.predicted_terms
        assert terms["uplink"] + terms["downlink"] - by_formula[row.key] == pytest.approx(fitted, abs=1e-6)


@pytest.mark.parametrize(
    ("link", "circumstances"),
    [
        (impaired(reorder=0.1, jitter_ms=1.0), WARM),
        (impaired(duplicate=0.1), WARM),
        (impaired(jitter_ms=2.0, jitter_correlation=0.5), WARM),
        (make_link(), Circumstances(trace=trace([57.0], loss=0.01))),
        (impaired(jitter_ms=1.0), Circumstances(trace=trace([57.0]))),
        (replace(make_link(), impairments_down=Impairments(loss=1e-5)), Circumstances(trace=trace([57.0]))),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_one_line(link: LinkSpec, circumstances: Circumstances) -> None:
    with pytest.raises(SpecError) as error:
        require_predictable(link, circumstances)
    assert "\n" not in str(error.value)
    with pytest.raises(SpecError):
        found(link, circumstances)


def test_a_loss_is_held_against_the_largest_request() -> None:
    link = impaired(loss=5e-5)
    require_predictable(link, WARM)
    require_predictable(link, WARM, largest_bytes=3_211_264)
    with pytest.raises(SpecError, match="losses in a request of 13813 segments"):
        require_predictable(link, WARM, largest_bytes=20e6)


def test_each_way_is_delayed_by_its_own_jitter_and_loss() -> None:
    """The answer has three segments: a tenth of a per cent of loss delays it by three times a tenth."""
    key, still = Key("split", 4, "none"), found()
    down = found(replace(make_link(), impairments_down=Impairments(loss=1e-5)))
    assert down[key].terms["uplink"] == still[key].terms["uplink"]
    assert down[key].terms["downlink"] > still[key].terms["downlink"]
    up = found(impaired(loss=1e-7))
    assert up[key].terms["downlink"] == still[key].terms["downlink"]
    assert up[key].terms["uplink"] > still[key].terms["uplink"]


def test_a_planted_or_achieved_link_is_reckoned_though_nobody_could_ask_for_it() -> None:
    link = impaired(jitter_ms=3.5, jitter_distribution="uniform")
    require_predictable(link, WARM)
    halved = replace(link, delay_up_ms=link.delay_up_ms / 2, delay_down_ms=link.delay_down_ms / 2)
    with pytest.raises(SpecError, match="takes late segments for lost ones"):
        require_predictable(halved, WARM)
    predicted = found(link)
    rows = [replace(row, predicted_terms=predicted[row.key].terms) for row in ROWS if row.payload_bytes]
    assert set(network_ms(halved, rows, RESPONSE_BYTES, WARM)) == {row.key for row in rows}


@pytest.mark.parametrize("connection", ["warm", "new"])
def test_nothing_that_is_sent_takes_no_time(connection: Any) -> None:
    link = replace(impaired(jitter_ms=1.0), tcp=TcpPolicy("bbr"))
    assert network_ms(link, [], RESPONSE_BYTES, Circumstances(connection)) == {}


def test_edge_only_is_not_unsure_of_a_device_that_it_does_not_use() -> None:
    """However slow the device."""
    model = predictors.fit("calibrated", Evidence(WORLD.profiles()))
    key = next(row.key for row in ROWS if row.key.candidate == "edge-only")
    widths = []
    for slowdown in (1.0, 1000.0):
        own = model.predict(make_link(), ROWS, slowdown=slowdown).predictions()[key]
        device = own.terms.get("device", 0.0) + own.terms.get("serialize", 0.0)
        widths.append((own.high_ms - own.low_ms) / (own.total_ms + device))
    assert widths[1] <= widths[0] * 1.5
