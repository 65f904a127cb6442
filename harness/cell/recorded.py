"""Recorded hardware: what may be asked of it, and mode=predict, the paper's equations on its authors' profiles.

What measures replays the recordings over a real link (`replaying`); mode=predict starts nothing.

`payload_bytes` is the recorded size, .npy header included. `paper_ms` is filled where the authors' tool has an answer;
`forecast_ms` and `predicted_ms` also where a part of it was recorded nowhere: `estimated` in `summary.json` lists
these candidates and the method. A recording holds one time per block: there are no intervals.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.cell import encodings, replaying
from harness.cell.evidence import circumstances_of
from harness.cell.forecasting import recorded_facts, recorded_systems
from harness.cell.outcome import headline, title
from harness.cell.predicting import explore, ranked
from harness.errors import SpecError
from harness.prediction import constraints
from harness.prediction.circumstances import Circumstances
from harness.prediction.recorded import NPY_HEADER_BYTES
from harness.prediction.recorded_model import (
    RECORDED_TL,
    RecordedModel,
    contradictions,
    estimates,
    recorded_equations,
    recorded_rows,
)
from harness.prediction.recorded_pair import TF_EAGER, RecordedPair, load_pair
from harness.prediction.selection import require_cuts
from harness.report import console
from harness.report.ranking import print_ranking
from harness.results.records import CellWriter
from harness.results.schema import Row
from harness.spec import Spec
from harness.spec.hardware import THIS_HOST
from harness.testbed.link import link_spec, variability
from harness.validation.statistics import summarise
from netem.link import LinkSpec

#: Both are the same equations; the recordings are eager.
PREDICTORS = ("paper", "paper_eager")
#: `calibrated` needs what a link and a server add, which only a measuring mode finds out.
MEASURED_PREDICTORS = (*PREDICTORS, "calibrated")
MODES = ("predict", "validate", "measure")


def check(spec: Spec) -> None:
    """Find what is wrong with a cell on recorded hardware.

    Raises:
        SpecError: a mode that is not for recordings; a predictor, transfer layer, wire format or link that nobody
            recorded; no such recording, or a file that is none; constraints or cuts that name what the model does not
            have.
    """
    _require(spec)
    if spec.mode == "predict":
        constraints.require(spec.constraints, _facts(spec, _pair(spec)))
        return
    replay = replaying.read(spec)
    profile = next(iter(replay.profiles.values()))
    constraints.require(spec.constraints, recorded_facts(spec, profile))
    circumstances_of(spec)
    if not isinstance(spec.measure.splits, str) and spec.hardware.has_edge:
        require_cuts(spec.measure.splits, next(iter(replay.recordings.values())).cuts)


def predict(spec: Spec, folder: Path) -> None:
    """Rank the recorded candidates; with `whatif` axes also say which one wins where. Raises SpecError as `check`."""
    _require(spec)
    pair, link = _pair(spec), link_spec(spec)
    known = _facts(spec, pair)
    model = RecordedModel(pair)
    rows = recorded_rows(pair, input_shape=spec.model.input_shape, min_split=spec.constraints.min_split)
    _fill(rows, model, link, spec)
    constraints.apply(rows, constraints.judge(rows, spec.constraints, known))
    ranking = ranked(spec, rows, known)
    summary = summarise(rows, [], min_split=spec.constraints.min_split) | headline(spec)
    summary |= _provenance(pair, rows) | {"verdict": None, "ranking": ranking.as_dict()}
    with CellWriter(folder) as writer:
        writer.splits(rows)
        if spec.whatif.asked:
            summary |= {"whatif": explore(spec, model, rows, link, folder, Circumstances())}
        writer.summary(summary)
    console.print_forecast(rows, min_split=spec.constraints.min_split, title=f"Forecast: {title(spec)}")
    print_ranking(ranking)


def _require(spec: Spec) -> None:
    hardware = spec.hardware
    if spec.mode not in MODES:
        raise SpecError(
            f"mode={spec.mode}: hardware={hardware.name} is recorded, there is nothing to {spec.mode} on it; "
            f"allowed: mode={', '.join(MODES)}"
        )
    predicting = spec.mode == "predict"
    for key, given, allowed in (
        ("predictor", spec.predictor.name, PREDICTORS if predicting else MEASURED_PREDICTORS),
        ("transfer_layer", encodings.own(spec).transfer_layer, (RECORDED_TL, "none")),
        ("wire_format", encodings.own(spec).wire_format, ("float32",)),
        ("hardware.edge.endpoint", hardware.edge.endpoint, ("multiplexed",)),
    ):
        if given not in allowed:
            raise SpecError(f"{key}={given}: not on recorded hardware; allowed: {key}={' or '.join(allowed)}")
    for key, name in (("profile.file", spec.profile.file), ("profile.export", spec.profile.export)):
        if name is not None:
            raise SpecError(
                f"{key}={name}: hardware={spec.hardware.name} is recorded and has files of its own, "
                f"hardware.profiles={spec.hardware.profiles}; allowed: {key}=null"
            )
    if not predicting:
        _require_measured(spec)
        return
    if THIS_HOST in (hardware.device.system, hardware.edge.system):
        raise SpecError(
            f"hardware={hardware.name} with a tier of this host: mode=predict starts nothing and has no recording of "
            "it; allowed: mode=validate, mode=measure"
        )
    if not variability(spec).none:
        raise SpecError(
            "link: the paper's equations, all that a recording can be put in, know no jitter, loss or trace; "
            "allowed: link=static without impairments"
        )


def _require_measured(spec: Spec) -> None:
    labels = [encoding.transfer_layer for encoding in encodings.measured(spec)]
    odd = [label for label in labels if label not in (RECORDED_TL, "none")]
    if odd:
        raise SpecError(
            f"measure.transfer_layers: {odd[0]} was recorded nowhere; allowed on recorded hardware: {RECORDED_TL}, none"
        )


def _pair(spec: Spec) -> RecordedPair:
    hardware = spec.hardware
    path = replaying.recorded_path(spec)
    if path.is_file():
        raise SpecError(
            f"hardware.profiles={hardware.profiles} is a file, which mode=measure and validate replay; allowed for "
            "mode=predict: a folder of recordings, or profile.file=FILE with hardware=local"
        )
    return load_pair(
        path,
        spec.model.name,
        device=hardware.device.system or "",
        edge=hardware.edge.system,
        runtime=hardware.edge.runtime or TF_EAGER,
    )


def _facts(spec: Spec, pair: RecordedPair) -> constraints.Facts:
    """A recording knows layers by index alone, and no memory."""
    return constraints.Facts(pair.last, systems=recorded_systems(spec))


def _fill(rows: list[Row], model: RecordedModel, link: LinkSpec, spec: Spec) -> None:
    """`forecast_ms`, `predicted_ms`, the terms and Eqs. 1 to 6 of every row that was recorded."""
    predictions = model.predict(link, rows, slowdown=spec.hardware.device.slowdown).predictions()
    for row in rows:
        own = predictions.get(row.key)
        if own is not None:
            row.predicted_terms, row.forecast_ms, row.predicted_ms = own.terms, own.total_ms, own.total_ms
    solved = recorded_equations(rows)
    for row in rows:
        row.equations = solved.get(row.key, {})
        if row.key.candidate == "device-only" or row.key in solved:
            row.paper_ms = row.predicted_ms


def _provenance(pair: RecordedPair, rows: list[Row]) -> dict[str, Any]:
    """What the numbers come from, and what in them nobody recorded."""
    tiers = {"device": pair.device, "edge": pair.edge, "edge_tf": pair.edge_tf if pair.edge_tf != pair.edge else None}
    return {
        "weights": "as recorded",
        "recordings": {
            name: {"system": tier.system, "runtime": tier.runtime, "file": tier.file, "sha256": tier.sha256}
            for name, tier in tiers.items()
            if tier is not None
        },
        "payload_includes_npy_header_bytes": NPY_HEADER_BYTES,
        "estimated": [each.as_dict() for each in estimates(pair, rows)],
        "flags": [asdict(flag) for flag in contradictions(pair)],
    }
