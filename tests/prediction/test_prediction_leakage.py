"""The record of what a network's cuts reveal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.prediction import leakage
from harness.prediction.leakage import LeakageRecord
from harness.results.leakage import CutLeakage

FINGERPRINT = {"model": "mobilenetv2", "content": "MobileNetV2-random0-abc", "transfer_layers": ["maxpool", "none"]}
RECORD = LeakageRecord(
    FINGERPRINT,
    64,
    {"steps": 200, "cuts": [1]},
    (
        CutLeakage(1, "stem", "none", 0.9, 0.7),
        CutLeakage(1, "stem", "maxpool", 0.8),
        CutLeakage(9, "late", "none", 0.0),
    ),
)


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    leakage.save(path, RECORD)
    assert leakage.load(path, FINGERPRINT) == RECORD
    assert RECORD.by_candidate() == {(1, "none"): 0.9, (1, "maxpool"): 0.8, (9, "none"): 0.0}
    assert leakage.load(tmp_path / "missing.json", FINGERPRINT) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("cuts"),
        lambda record: record.update(cuts=[]),
        lambda record: record["cuts"][0].update(distance_correlation=1.5),
        lambda record: record["cuts"][0].update(distance_correlation=None),
        lambda record: record["cuts"][0].update(colour="red"),
        lambda record: record["fingerprint"].update(content="another"),
    ],
)
def test_a_broken_or_foreign_record_is_one_line(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = tmp_path / "record.json"
    leakage.save(path, RECORD)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(SpecError, match=r"record\.json .*leakage\.enabled=true") as caught:
        leakage.load(path, FINGERPRINT)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\x00")
    with pytest.raises(SpecError, match="cannot be read"):
        leakage.load(path, FINGERPRINT)
