"""The figure of what crosses the front cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.prediction.leakage import LeakageRecord
from harness.report import representations
from harness.results.leakage import CutLeakage


def test_the_figure_has_a_row_a_cut_with_its_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tiles = {"10": rng.integers(0, 256, (8, 64, 64), np.uint8), "2": rng.integers(0, 256, (3, 8, 64), np.uint8)}
    np.savez(tmp_path / "tiles.npz", **tiles)
    cuts = (CutLeakage(2, "stem", "none", 0.93, 0.5), CutLeakage(10, "late", "none", 0.31))
    record = LeakageRecord({}, 64, {}, cuts)
    written = representations.draw(
        tmp_path / "tiles.npz", record, tmp_path, title="Front cuts", formats=("svg", "png"), dpi=60
    )
    assert [path.name for path in written] == ["representations.svg", "representations.png"]
    text = written[0].read_text()
    assert text.count("<image") == 11
    assert written[1].read_bytes().startswith(b"\x89PNG")
