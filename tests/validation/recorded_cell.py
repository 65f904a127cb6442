"""Cells that were really measured, put together again: `experiments/main_job`, with the blocks that it was profiled
with (medians, in `recorded/`), so that predictions and faults are recomputed by today's code on yesterday's samples.

A profile holds more than prediction needs; what is not recorded is empty here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness.cell.verdict import Case
from harness.prediction.circumstances import Circumstances
from harness.prediction.predictors import Evidence
from harness.prediction.profile import Calibration, CutRecord, Profiles, TierProfile
from harness.results.records import read_json, read_samples, read_splits
from harness.results.schema import Row, Sample
from harness.spec import Spec
from harness.validation.faults import Setting
from harness.validation.statistics import fill_measured, summarise
from netem.link import LinkSpec

PROJECT = Path(__file__).resolve().parents[2]
MAIN_JOB = PROJECT / "experiments" / "main_job"
BLOCKS = Path(__file__).parent / "recorded" / "densenet169_blocks.json"


@dataclass(frozen=True)
class RecordedCell:
    """A case with its measured columns filled, its statistics, and what its prediction was made from."""

    case: Case
    summary: dict[str, Any]

    @property
    def setting(self) -> Setting:
        return Setting(self.case.evidence, self.case.link, self.case.spec.hardware.device.slowdown, self.case.predict)

    def with_samples(self, samples: list[Sample]) -> RecordedCell:
        return put_together(replace(self.case, samples=samples), self.summary["link"])


def load(folder: Path = MAIN_JOB, blocks: Path = BLOCKS, **gate: Any) -> RecordedCell:
    """The cell in `folder`; `gate` replaces keys of the default tolerances."""
    summary = read_json(folder / "summary.json")
    calibration = _calibration(summary["calibration"])
    tiers = json.loads(blocks.read_text(encoding="utf-8"))
    profiles = Profiles(_tier("device", tiers["device"]), _tier("edge", tiers["edge"]), calibration)
    case = Case(
        spec=_spec(folder, gate),
        evidence=Evidence(profiles, calibration),
        link=_link(calibration.link),
        circumstances=Circumstances(),
        rows=read_splits(folder),
        samples=read_samples(folder),
        response_bytes=calibration.response_bytes,
    )
    return put_together(case, summary["link"])


def put_together(case: Case, link: dict[str, Any]) -> RecordedCell:
    predictions = case.predict(case.evidence, case.link)
    rows: list[Row] = []
    for row in case.rows:
        own = predictions.get(row.key)
        known = own is not None
        rows.append(
            replace(
                row,
                predicted_ms=own.total_ms if known else None,
                predicted_terms=own.terms if known else {},
                predicted_p95_ms=own.p95_ms if known else None,
            )
        )
    fill_measured(rows, case.samples, 0)
    summary = summarise(rows, list(case.samples), min_split=case.spec.constraints.min_split)
    return RecordedCell(replace(case, rows=rows), summary | {"link": link, "unavailable_terms": []})


def _spec(folder: Path, gate: dict[str, Any]) -> Spec:
    """Today's defaults with what the cell had asked for."""
    from hydra import compose, initialize_config_dir

    asked = yaml.safe_load((folder / "spec.yaml").read_text(encoding="utf-8"))
    overrides = [
        f"model={asked['model']['name']}",
        f"hardware={asked['hardware']['name']}",
        f"bandwidth={asked['bandwidth']}",
        f"latency={asked['latency']}",
        *(f"gate.{key}={'null' if value is None else value}" for key, value in gate.items()),
    ]
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", overrides))


def _link(record: dict[str, Any]) -> LinkSpec:
    names = ("rate_up_mbps", "rate_down_mbps", "delay_up_ms", "delay_down_ms", "mtu", "burst_bytes")
    return LinkSpec(**{name: record[name] for name in names})


def _calibration(record: dict[str, Any]) -> Calibration:
    """Cells from before tails were recorded have none."""
    values = {"compute_tail": 0.0, "network_tail_ms": 0.0, **record, "fingerprint": {}, "flags": ()}
    values["echoes"] = {int(size): terms for size, terms in record["echoes"].items()}
    return Calibration(**values)


def _tier(tier: str, record: dict[str, Any]) -> TierProfile:
    blocks = tuple(record["block_ms"])
    cuts = tuple(CutRecord(index, layer, tuple(shape), theirs) for index, layer, shape, theirs in record["cuts"])
    return TierProfile(
        tier=tier,
        fingerprint={},
        cuts=cuts,
        last=record["last"],
        input_shape=(224, 224, 3),
        picture_bytes={},
        block_ms=blocks,
        block_low_ms=blocks,
        block_high_ms=blocks,
        scission_block_ms=(),
        eager_scission_block_ms=(),
        call_ms=record["call_ms"],
        codec_ms={},
        head_peak_bytes=(),
        block_features=(),
    )
