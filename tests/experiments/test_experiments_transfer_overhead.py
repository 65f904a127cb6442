"""What a transfer layer costs as a share of a request: read from cells, judged for the paper's own alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from experiments.transfer_overhead import BOUND, main, overheads
from harness.results.records import CellWriter
from harness.results.schema import Key, Row
from harness.transfer.encoding import Encoding


def row(key: Key, device_tl_ms: float, edge_tl_ms: float, total_ms: float | None) -> Row:
    terms = {"device": 10.0, "device_tl": device_tl_ms, "edge_tl": edge_tl_ms}
    return Row(key, predicted_ms=total_ms, predicted_terms=terms)


def cell(folder: Path, *rows: Row) -> Path:
    with CellWriter(folder) as writer:
        writer.splits(rows)
    spec = {"model": {"name": "m"}, "hardware": {"name": "h"}, "bandwidth": 57, "latency": 28}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder


LIGHT = row(Key("split", 7, "maxpool"), 0.8, 0.4, 100.0)
HEAVY = row(Key("split", 7, "autoencoder"), 20.0, 30.0, 140.0)
NOTHING = row(Key("split", 8, "maxpool"), 0.8, 0.4, None)


def test_the_share_is_of_both_tiers_and_of_the_whole_request() -> None:
    plain = Row(Key("split", 7), predicted_ms=90.0, predicted_terms={"device": 10.0})
    found = overheads([HEAVY, LIGHT, NOTHING, plain, Row(Key("device-only"), predicted_ms=50.0)])
    assert {encoding: [own.share for own in overhead] for encoding, overhead in found.items()} == {
        Encoding("maxpool"): [pytest.approx(0.012)],
        Encoding("autoencoder"): [pytest.approx(50 / 140)],
    }
    assert overheads([LIGHT], measured=True) == {}


def test_the_bound_is_for_the_paper_s_transfer_layer_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([cell(tmp_path / "held", LIGHT, HEAVY)]) == 0
    assert "35.71%" in capsys.readouterr().out
    broken = row(Key("split", 9, "maxpool"), 2.0, 0.4, 100.0)
    assert main([tmp_path / "held", cell(tmp_path / "broken", LIGHT, broken)]) == 1
    assert f"2.40%  9: above the bound of {BOUND:.0%}" in capsys.readouterr().out
