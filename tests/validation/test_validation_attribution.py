from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.results.records import CellWriter
from harness.results.schema import ERROR_COLUMNS, Key, Row, Sample
from harness.validation.attribution import emulation_error, error_records, term_summary
from harness.validation.resampling import draw
from harness.validation.statistics import fill_measured
from tests.validation.synthetic_cell import make_cell

GOLDEN = Path(__file__).parent / "golden_errors.csv"


def small_cell() -> tuple[list[Row], list[Sample]]:
    """Two candidates, three requests each, times that anybody can add up."""
    split, local = Key("split", 6, "maxpool"), Key("device-only")
    rows = [
        Row(local, predicted_ms=110.0, predicted_terms={"device": 110.0}, predicted_p95_ms=120.0),
        Row(split, predicted_ms=60.5, predicted_terms={"device": 20.0, "uplink": 30.0, "queue": 0.5, "edge": 9.5}),
        Row(Key("split", 9, "maxpool"), predicted_ms=1.0),
    ]
    samples = [Sample(local, n, 100.0 + n, {"device": 100.0 + n}, 0.0) for n in range(3)]
    samples += [
        Sample(split, 3 + n, 62.5 + n, {"device": 22.0 + n, "uplink": 30.0, "queue": 0.25, "edge": 10.0}, 0.25)
        for n in range(3)
    ]
    fill_measured(rows, samples, 0)
    return rows, samples


def test_errors_csv_is_this_file(tmp_path: Path) -> None:
    rows, samples = small_cell()
    CellWriter(tmp_path).errors(error_records(rows, draw(samples, 0)))
    assert (tmp_path / "errors.csv").read_text() == GOLDEN.read_text()


def test_one_line_a_measured_candidate_and_term_the_total_last() -> None:
    rows, samples = small_cell()
    records = error_records(rows, draw(samples, 0))
    assert [(each["candidate"], each["term"]) for each in records] == [
        *(("device-only", term) for term in ("device", "other", "total")),
        *(("split", term) for term in ("device", "uplink", "queue", "edge", "other", "total")),
    ]
    assert all(set(each) <= set(ERROR_COLUMNS) for each in records)
    total = records[-1]
    assert total["error_ms"] == pytest.approx(60.5 - 63.5)
    assert total["share_of_total"] == pytest.approx(-3 / 63.5)
    assert total["measured_p95_ms"] == pytest.approx(64.4)


def test_the_errors_of_terms_that_do_not_waver_add_up_to_that_of_the_total() -> None:
    cell = make_cell(noise=0.0)
    records = error_records(cell.rows, draw(cell.samples, 0))
    by_key: dict[tuple[object, ...], dict[str, float]] = {}
    for each in records:
        key = (each["candidate"], each["split"], each["transfer_layer"], each["wire_format"])
        by_key.setdefault(key, {})[each["term"]] = each["error_ms"]
    assert len(by_key) == sum(row.measured_ms is not None for row in cell.rows)
    for errors in by_key.values():
        total = errors.pop("total")
        assert total == pytest.approx(sum(errors.values()), abs=1e-9)


def test_a_term_that_the_predictor_does_not_know_is_all_error() -> None:
    rows, samples = small_cell()
    rows[1].predicted_ms = 60.0
    del rows[1].predicted_terms["queue"]
    queue = next(each for each in error_records(rows, draw(samples, 0)) if each["term"] == "queue")
    assert (queue["predicted_ms"], queue["error_ms"]) == (0.0, -0.25)


def test_a_predictor_of_totals_has_errors_of_totals() -> None:
    rows, samples = small_cell()
    for row in rows:
        row.predicted_terms = {}
    assert {each["term"] for each in error_records(rows, draw(samples, 0))} == {"total"}
    assert set(term_summary(rows, draw(samples, 0))) == {"total"}


def test_the_summary_of_terms_by_hand() -> None:
    rows, samples = small_cell()
    found = term_summary(rows, draw(samples, 0))
    device = found["device"]
    assert device["candidates"] == 2
    assert device["mean_error_ms"] == pytest.approx((9 - 3) / 2)
    assert device["mae_ms"] == pytest.approx((9 + 3) / 2)
    assert device["mae_share"] == pytest.approx((9 / 101 + 3 / 63.5) / 2)
    assert (device["worst"], device["worst_error_ms"]) == ("device-only", pytest.approx(9.0))
    assert device["mean_error_low_ms"] <= device["mean_error_ms"] <= device["mean_error_high_ms"]
    assert found["queue"]["mean_error_low_ms"] == found["queue"]["mean_error_high_ms"] == pytest.approx(0.25)


def test_the_interval_of_an_error_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of a mean error over candidates, the truth known: 95 % of 120 draws is 114."""
    random = np.random.default_rng(5)
    held = 0
    for seed in range(120):
        samples = [
            Sample(key, order, total, {"device": total}, 0.0)
            for key in (Key("split", 1), Key("split", 2), Key("device-only"))
            for order, total in enumerate(random.normal(100.0, 5.0, 12).tolist())
        ]
        rows = [Row(key, predicted_ms=100.0, predicted_terms={"device": 100.0}) for key in {s.key for s in samples}]
        device = term_summary(rows, draw(samples, seed))["device"]
        held += device["mean_error_low_ms"] <= 0.0 <= device["mean_error_high_ms"]
    assert held >= 105


def test_an_error_of_the_emulation_is_told_from_one_of_the_model() -> None:
    keys = [Key("split", number) for number in (1, 2, 3)]
    rows = [Row(key, predicted_ms=100.0, measured_ms=104.0) for key in keys]
    asked, got = {"rate_up_mbps": 50.0, "rtt_ms": 30.0}, {"rate_up_mbps": 49.0, "rtt_ms": 33.0}
    all_of_it = emulation_error(asked, got, rows, dict.fromkeys(keys, 4.0))
    assert all_of_it == {
        "rate_up": pytest.approx(-0.02), "rtt": pytest.approx(0.1), "effect_ms": 4.0, "explains": pytest.approx(1.0)
    }  # fmt: skip
    assert emulation_error(asked, got, rows, dict.fromkeys(keys, 1.0))["explains"] == pytest.approx(0.25)
    assert emulation_error(asked, got, rows, dict.fromkeys(keys, -1.0))["explains"] == 0.0
    unknown = emulation_error(asked, {"rate_up_mbps": None, "rtt_ms": None}, rows, {})
    assert unknown == {"rate_up": None, "rtt": None, "effect_ms": None, "explains": None}
