"""The table of accuracies: its plan, its intervals and its bars, from cells with known figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments import accuracy
from experiments.accuracy import Outcome


def cell(lost: int, won: int, control: float = 0.92, seconds: float = 2.0) -> Outcome:
    """10,000 pictures, of which the reference alone has `lost` right and the TLModel alone `won`."""
    differences = np.zeros(10_000)
    differences[:lost] = 1
    differences[lost : lost + won] = -1
    tops = {"original": 0.92, "control": control, "tl_before": 0.7, "tl_recalibrated": 0.85}
    tops["tl_retrained"] = max(0.92, control) - (lost - won) / 10_000
    record: dict[str, Any] = {
        "layer": "conv2_block6_concat",
        "rows": [{"stage": stage, "top1": top} for stage, top in tops.items()],
        "history": [
            {"stage": "original", "step": 900, "seconds_per_step": 9.0},
            {"stage": "tl_model", "step": 100, "seconds_per_step": seconds},
            {"stage": "tl_model", "step": 150, "seconds_per_step": 2 * seconds},
        ],
    }
    return Outcome(record, differences)


def test_the_plan_holds_every_cell_of_the_bars_and_all_networks_first() -> None:
    cells = accuracy.plan(accuracy.NETWORKS, accuracy.FORMATS, accuracy.SEEDS, "distilled", False, ("train.epochs=2",))
    assert len({found.name for found in cells}) == len(cells) == 3 * 2 * 3
    assert {found.override("model") for found in cells[:6]} == {"densenet121", "resnet50"}
    assert all({"train.original.seed=0", "train.epochs=2", "mode=train"} <= set(found.overrides) for found in cells)
    each = accuracy.plan(accuracy.NETWORKS, accuracy.FORMATS, accuracy.SEEDS, "paper", True, ())
    assert not any("train.original.seed=0" in found.overrides for found in each)


def test_drop_and_intervals_are_those_of_the_pictures() -> None:
    cells = [cell(130, 100), cell(150, 100), cell(110, 100)]
    line, held = accuracy.row("densenet121", 51, "float32", cells)
    assert held
    assert line["drop [seeds] [pictures]"].startswith("+0.30 ")
    low, high = accuracy.picture_interval(cells[:1])
    spread = 100 * np.sqrt(0.023 - 0.003**2) / 100  # 230 of 10,000 pictures differ
    assert (low, high) == pytest.approx((0.3 - 1.96 * spread, 0.3 + 1.96 * spread), abs=1e-4)
    assert accuracy.seed_interval([0.1, 0.3, 0.5]) == pytest.approx((0.3 - 4.302653 * 0.2 / 3**0.5, 0.796827), rel=1e-4)
    assert accuracy.seed_interval([0.1]) is None


@pytest.mark.parametrize(
    ("split", "format_", "outcome", "verdict"),
    [
        (51, "float32", cell(160, 100), "fails: drop"),
        (51, "uint8", cell(160, 100), "holds"),
        (69, "float32", cell(160, 100), "holds"),
        (69, "uint8", cell(210, 100), "fails: drop"),
        (51, "float32", cell(0, 0, control=0.916), "fails: control"),
        (51, "float32", cell(0, 0, seconds=10.0), "fails: minutes"),
    ],
)
def test_a_broken_bar_is_named(split: int, format_: str, outcome: Outcome, verdict: str) -> None:
    line, held = accuracy.row("densenet121", split, format_, [outcome])
    assert line["verdict"] == verdict
    assert held == (verdict == "holds")


def test_the_table_has_what_is_finished() -> None:
    cells = accuracy.plan([("densenet121", 51)], ["float32", "uint8"], [0, 1], "distilled", False, ())
    text, held = accuracy.table({cells[0].name: cell(130, 100), cells[2].name: cell(130, 100)}, cells)
    assert held
    assert len(text.splitlines()) == 3
    assert "| densenet121 | 51 (conv2_block6_concat) | float32 | 2 | 92.00 |" in text
