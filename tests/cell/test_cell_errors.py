"""What a whole cell says of its prediction: errors.csv, the terms, and the emulation's part in the error."""

from __future__ import annotations

import csv
import json
from collections import defaultdict

import pytest

from harness.results.records import read_splits
from harness.results.schema import ERROR_COLUMNS, TERMS, Key
from harness.validation.gate import expected_terms
from tests.runs import Finished

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]


def test_errors_csv_has_every_term_of_every_measured_candidate(cell: Finished) -> None:
    with (cell.folder / "errors.csv").open() as file:
        reader = csv.DictReader(file)
        lines = list(reader)
    assert tuple(reader.fieldnames or ()) == ERROR_COLUMNS
    measured = [row for row in read_splits(cell.folder) if row.measured_ms is not None]
    found: dict[Key, dict[str, dict[str, str]]] = defaultdict(dict)
    for line in lines:
        split = int(line["split"]) if line["split"] else None
        found[Key(line["candidate"], split, line["transfer_layer"], line["wire_format"])][line["term"]] = line
    assert set(found) == {row.key for row in measured}
    for row in measured:
        own = found[row.key]
        assert set(own) == {*expected_terms(row.key), "other", "total"}
        error = float(own["total"]["error_ms"])
        assert error == pytest.approx((row.predicted_ms or 0) - (row.measured_ms or 0))
        assert float(own["total"]["share_of_total"]) == pytest.approx(row.error)
        assert float(own["total"]["measured_p95_ms"]) >= row.measured_ms
        for line in own.values():
            assert float(line["error_low_ms"]) <= float(line["error_ms"]) <= float(line["error_high_ms"])
            assert bool(line["predicted_p95_ms"]) == bool(line["measured_p95_ms"]) == (line["term"] == "total")


def test_the_summary_attributes_the_error_and_tells_the_emulations_from_the_models(cell: Finished) -> None:
    record = json.loads((cell.folder / "summary.json").read_text())
    assert set(record["terms"]) == {*TERMS, "other", "total"}
    assert record["terms"]["total"]["mae_share"] == pytest.approx(record["mape"], rel=0.2)
    emulation = record["link"]["emulation_error"]
    assert abs(emulation["rate_up"]) < 0.03
    assert abs(emulation["rtt"]) < 0.03
    assert 0 <= emulation["explains"] <= 1
    judged = {each["quantity"]: each["verdict"] for each in record["judgements"]}
    assert {"mape", "p95_abs_error", "bias", "forecast_mape", "regret", "uplink", "queue", "network"} <= set(judged)
