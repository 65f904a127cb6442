"""The records of a training."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.results import accuracy
from harness.results.accuracy import Row, paired_drop

ROWS = [
    Row("original", 0.92, 1.0, 10_000, 0.925, 12.0, 0.0, 0.0, 0.0),
    Row("tl_before", 0.8, 0.99, 10_000, 0.79, 0.0, 12.0, 11.2, 12.8),
]


def test_records_come_back_and_the_tables_have_their_columns(tmp_path):
    history = [{"stage": "control", "epoch": 1.0, "step": 421, "learning_rate": 0.001, "loss": 0.2}]
    accuracy.write(tmp_path, {"model": "densenet121", "split": 51}, ROWS, history)
    record, rows = accuracy.read(tmp_path)
    assert rows == ROWS
    assert (record["model"], record["history"]) == ("densenet121", history)
    assert json.loads((tmp_path / "accuracy.json").read_text())["schema_version"] >= 1
    with (tmp_path / "accuracy.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert tuple(table[0]) == accuracy.COLUMNS
    assert table[2] == ["tl_before", "0.8", "0.99", "10000", "0.79", "0.0", "12.0", "11.2", "12.8"]
    assert accuracy.find(rows, "control") is None


def test_a_folder_without_records_is_named(tmp_path):
    with pytest.raises(HarnessError, match="run mode=train again"):
        accuracy.read(tmp_path)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=400))
def test_a_paired_drop_is_the_difference_of_the_accuracies_with_its_standard_error(pairs):
    reference, other = (list(part) for part in zip(*pairs, strict=True))
    drop, low, high = paired_drop(reference, other)
    differences = 100 * (np.array(reference, float) - np.array(other, float))
    assert drop == pytest.approx(differences.mean())
    error = differences.std() / np.sqrt(len(pairs))
    assert (low, high) == pytest.approx((drop - 1.959964 * error, drop + 1.959964 * error), abs=1e-6)
