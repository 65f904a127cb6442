"""What a cell came to: predictions fitted on the interleaved anchors, statistics, verdict, report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.cell import history
from harness.cell.evidence import circumstances_of, gather
from harness.cell.forecasting import fill, look_up
from harness.cell.verdict import Case, find
from harness.prediction import drift, predictors
from harness.prediction.calibration import over_plain_link
from harness.prediction.circumstances import plain
from harness.prediction.profile import Profiles
from harness.prediction.recording import described
from harness.report import console
from harness.report.cell import write_report
from harness.results.records import CellWriter
from harness.results.schema import Row
from harness.spec import Spec
from harness.validation import statistics
from harness.validation.replaying import precision
from netem.link import LinkSpec

if TYPE_CHECKING:
    from harness.cell.measuring import Measured


def title(spec: Spec) -> str:
    """What was run, in words."""
    emulated = "".join(f", {tier} replayed ({system})" for tier, system in spec.hardware.replayed.items())
    emulated += f", device emulated {spec.hardware.device.slowdown:g} x slower" if spec.hardware.emulated else ""
    uplinks = {"fiveg": "5G-like uplink", "trace": f"uplink of {Path(spec.link.trace or '').name}"}
    uplink = uplinks.get(spec.link.name, f"{spec.bandwidth:g} Mbit/s up")
    board = f" ({spec.hardware.device.host})" if spec.hardware.kind == "remote" else ""
    delay = f"{spec.latency:g} ms round trip" if spec.link.backend != "rate-only" else "the path's own round trip"
    return f"{spec.model.name} on {spec.hardware.name}{board}{emulated}, {uplink}, {delay}"


def headline(spec: Spec) -> dict[str, Any]:
    """The part of a summary that only the spec decides."""
    return {
        "title": title(spec),
        "model": spec.model.name,
        "hardware": spec.hardware.name,
        "emulated": spec.hardware.emulated,
        "slowdown": spec.hardware.device.slowdown,
        "weights": spec.model.weights or spec.model.file or f"random, seed {spec.seed}",
        "predictor": spec.predictor.name,
        "selftest": None,
        "communicator": spec.communicator.name,
        "unavailable_terms": list(spec.hardware.unavailable_terms),
    }


def command(folder: Path) -> str:
    """The command line that runs the cell in `folder` again, one of a sweep alone: its overrides as Hydra noted."""
    try:
        typed = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return shlex.join(["python", *sys.argv])
    return shlex.join(["python", "run.py", *map(str, typed or ())])


def validate(
    spec: Spec,
    profiles: Profiles,
    link: LinkSpec,
    rows: Sequence[Row],
    measured: Measured,
    facts: dict[str, Any],
    writer: CellWriter,
) -> str | None:
    """Fill `predicted_ms` and the measured columns, judge, write `splits.csv`, `errors.csv` and `summary.json`, print.

    Args:
        facts: `link` of the summary (requested, achieved, backend).

    Returns:
        The verdict, with `gate.selftest` that on the gate; None in mode=measure, or where the gate is off.
    """
    observed = drift.between(profiles.calibration, measured.calibration)
    if observed is not None and not profiles.recordings:  # a recording does not drift
        history.append(spec, observed)
    circumstances = circumstances_of(spec)
    calibration = measured.calibration
    if not plain(link, circumstances):
        calibration = over_plain_link(calibration, profiles.calibration)
    evidence = replace(gather(spec, profiles), calibration=calibration)
    if circumstances is not None:
        model = predictors.fit(spec.predictor.name, evidence)
        fill(rows, model, link, spec, circumstances, "predicted_ms")
        if (found := look_up(spec, model, rows, link, circumstances)) is not None:
            writer.lookup(found)
    statistics.fill_measured(list(rows), measured.samples, seed=spec.seed)
    writer.splits(rows)  # whatever goes wrong from here on
    summary = statistics.summarise(list(rows), measured.samples, min_split=spec.constraints.min_split)
    own = [row for row in rows if row.key.split is not None and row.key not in measured.anchors]
    summary |= headline(spec) | {
        "link": facts,
        # The baselines are anchors too: this is the error where prediction and measurement share no candidate.
        "mape_splits": statistics.mape(statistics.relative_errors(own)),
        "speed_change": drift.speed_change(profiles.calibration, measured.calibration),
        "calibration": asdict(measured.calibration) | {"fingerprint": None},
    }
    if measured.server is not None:
        summary["server_statistics"] = measured.server
    if profiles.forced:
        summary["forced_profiles"] = dict(profiles.forced)
    if profiles.recordings:
        if spec.hardware.replayed.keys() >= {"device", "edge"} or not spec.hardware.has_edge:
            summary["weights"] = "as recorded"
        summary |= described(profiles.recordings) | precision(
            profiles.recordings, measured.samples, spec.hardware.device.slowdown
        )
    case = Case(spec, evidence, link, circumstances, rows, measured.samples, measured.calibration.response_bytes)
    findings = find(case, summary)
    summary |= findings.summary
    writer.errors(findings.errors)
    writer.summary(summary)
    console.print_final(rows, summary, title=title(spec))
    return findings.verdict


def report(spec: Spec, folder: Path) -> None:
    """Figure and `report.html`, from what is on disk."""
    write_report(folder, title=title(spec), command=command(folder), formats=spec.report.formats, dpi=spec.report.dpi)
