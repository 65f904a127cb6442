"""One cell from its spec to its records: predict, bring the testbed up, profile, measure, validate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cell import accuracy, durations, reaching
from harness.cell.checking import check, left_out_because
from harness.cell.evidence import circumstances_of, gather
from harness.cell.forecasting import forecast
from harness.errors import HarnessError
from harness.results.records import CellWriter, write_atomic
from harness.results.schema import Key, Row
from harness.spec import Spec

__all__ = ["check", "run"]

#: The lines for a shell that would make the link of the cell.
_LINK = "link.txt"

if TYPE_CHECKING:
    from harness.cell.measuring import CellRunner
    from harness.cell.replaying import Replay
    from harness.report.progress import Steps
    from harness.testbed.local import LocalTestbed
    from netem.probe import LinkReport


def run(spec: Spec, folder: Path) -> str | None:
    """Run one cell into `folder`; its verdict, None where the mode has none.

    Raises:
        HarnessError: of the kind that says what failed; what was measured until then is on disk.
    """
    if spec.mode == "train":
        from harness.cell import training

        training.run(spec, folder)
        return None
    if spec.mode == "deploy":
        from harness.cell import deploying

        deploying.run(spec, folder)
        return None
    if spec.hardware.edge.endpoint == "per_cut" and spec.mode == "measure":
        _measure_deployed(spec, folder)
        return None
    if (missing := left_out_because(spec)) is not None:
        from harness.cell import unrecorded

        unrecorded.write(spec, folder, missing)
        return None
    if spec.hardware.kind == "recorded" and spec.mode == "predict":
        from harness.cell import recorded

        recorded.predict(spec, folder)
        return None
    if spec.mode == "predict":
        _predict(spec, folder)
        return None
    kept, started = durations.profiled(spec), time.monotonic()
    verdict = None
    if spec.mode == "profile":
        _profile(spec, folder)
    else:
        verdict = _measure(spec, folder)
    durations.append(spec, replace(durations.shape_of(spec, profiled=kept), seconds=time.monotonic() - started))
    return verdict


def _predict(spec: Spec, folder: Path) -> None:
    from harness.cell.predicting import predict

    predict(spec, folder)


def _profile(spec: Spec, folder: Path) -> None:
    from harness.cell.measuring import CellRunner
    from harness.cell.outcome import headline
    from harness.report.progress import Steps
    from harness.testbed.place import testbed_of

    if spec.leakage.enabled:
        _reveal(spec, folder)
    with CellWriter(folder) as writer, Steps() as steps, testbed_of(spec, folder / "logs") as bed:
        loaded = _load(bed, steps)
        _probe(bed, steps, writer)
        rows = forecast(
            spec, gather(spec, CellRunner(spec, bed, loaded, steps).profiles()), bed.link, circumstances_of(spec)
        )
        writer.splits(rows)
        writer.summary({**headline(spec), "verdict": None})
    _show_forecast(spec, rows)


def _reveal(spec: Spec, folder: Path) -> None:
    from harness.cell import revealing
    from harness.report.progress import Steps

    with Steps() as steps:
        record = revealing.run(spec, folder, steps)
    print("\n".join(revealing.lines(record)), flush=True)


def _measure(spec: Spec, folder: Path) -> str | None:
    """Forecast, measure, compare. What fails half-way leaves the forecast and the samples so far."""
    from harness.cell import outcome
    from harness.report.progress import Steps
    from harness.testbed import host
    from harness.testbed.place import testbed_of

    with CellWriter(folder) as writer:
        replay, described = _recordings(spec)
        with Steps() as steps, testbed_of(spec, folder / "logs") as bed:
            loaded = described | _load(bed, steps, replay)
            probed, environment = _probe(bed, steps, writer)
            runner = _runner(spec, bed, loaded, steps, replay)
            profiles = runner.profiles()
            rows = forecast(spec, gather(spec, profiles), bed.link, circumstances_of(spec))
            writer.splits(rows)  # written down before anything is measured
            steps.pause()
            _show_forecast(spec, rows)
            steps.resume()
            with bed.measuring(folder):
                measured = runner.measure(profiles, rows, writer)
            found, failure = _classify(spec, bed, rows, folder, steps)
            environment |= {
                "profiles": runner.profile_files(),
                "load_after": host.load(),
                "gpus_after": reaching.gpus(spec),
                **bed.aftermath(),
            }
            writer.environment(environment)
        facts = {
            "requested": probed.requested,
            "achieved": probed.achieved,
            "backend": probed.backend,
            "notes": [*probed.notes, *environment["notes"]],
        }
        verdict = outcome.validate(spec, profiles, bed.link, rows, measured, facts, writer)
        accuracy.add(folder, found)
    outcome.report(spec, folder)
    if failure is not None:
        raise failure
    return verdict


def _classify(
    spec: Spec, bed: LocalTestbed, rows: Sequence[Row], folder: Path, steps: Steps, key: Key | None = None
) -> tuple[dict[str, Any] | None, HarnessError | None]:
    """What became of labelled images, or why nothing did: to be raised when all that was measured is on disk."""
    try:
        return accuracy.over_the_link(spec, bed.agent, rows, folder, steps, key), None
    except HarnessError as error:
        return None, error


def _recordings(spec: Spec) -> tuple[Replay | None, dict[str, Any]]:
    """What is replayed, and what must be known of the model for it; nothing where both tiers compute."""
    if not spec.hardware.replayed:
        return None, {}
    from harness.cell.replaying import prepared

    return prepared(spec)


def _runner(spec: Spec, bed: LocalTestbed, loaded: dict[str, Any], steps: Steps, replay: Replay | None) -> CellRunner:
    from harness.cell.measuring import CellRunner

    if replay is None:
        return CellRunner(spec, bed, loaded, steps)
    from harness.cell.replay_runner import ReplayRunner

    return ReplayRunner(spec, bed, loaded, steps, replay)


def _load(bed: LocalTestbed, steps: Steps, replay: Replay | None = None) -> dict[str, Any]:
    steps("loading the model on both tiers", 0.0)
    loaded = bed.load(replay.plans(bed.spec.hardware.device.slowdown) if replay else None)
    steps("loading the model on both tiers", 1.0)
    return loaded


def _measure_deployed(spec: Spec, folder: Path) -> None:
    """Measure a deployment. What fails half-way leaves the forecast and the samples so far."""
    from harness.cell import deployed, outcome
    from harness.report.progress import Steps
    from harness.testbed import host
    from harness.testbed.deployed import DeployedTestbed

    deployment = deployed.find(spec)
    with CellWriter(folder) as writer:
        with Steps() as steps, DeployedTestbed(spec, folder / "logs", deployment) as bed:
            _load(bed, steps)
            probed, environment = _probe(bed, steps, writer)
            rows, forced = deployed.rows_of(spec, bed, deployment)
            writer.splits(rows)
            with bed.measuring(folder):
                samples, server = deployed.measure_samples(spec, bed, deployment, writer, steps)
            found, failure = _classify(spec, bed, rows, folder, steps, deployment.manifest.key)
            environment |= {"load_after": host.load(), "gpus_after": reaching.gpus(spec), **bed.aftermath()}
            writer.environment(environment)
        link = {"requested": probed.requested, "achieved": probed.achieved, "backend": probed.backend}
        extra = {"link": link | {"notes": [*probed.notes, *environment["notes"]]}, "server_statistics": server} | forced
        deployed.conclude(spec, deployment, rows, samples, extra, writer)
        accuracy.add(folder, found)
    outcome.report(spec, folder)
    if failure is not None:
        raise failure


def _probe(bed: LocalTestbed, steps: Steps, writer: CellWriter) -> tuple[LinkReport, dict[str, Any]]:
    """Measure the link; write `env.json` before judging it, so that a bad link leaves its evidence.

    Raises:
        LinkError: the link is not the one asked for.
    """
    steps("probing the link", 0.0)
    probed = bed.probe()
    environment = _environment(bed) | {"link": probed.as_dict()}
    writer.environment(environment)
    write_atomic(writer.folder / _LINK, "\n".join(bed.link_commands()) + "\n")
    bed.require(probed)
    steps("probing the link", 1.0)
    return probed, environment


def _show_forecast(spec: Spec, rows: Sequence[Row]) -> None:
    from harness.cell.outcome import title
    from harness.report import console

    console.print_forecast(rows, min_split=spec.constraints.min_split, title=f"Forecast: {title(spec)}")


def _environment(bed: LocalTestbed) -> dict[str, Any]:
    from harness.testbed import host

    return {
        **host.describe(),
        "load_before": host.load(),
        "cores_kept_awake": bed.cores_awake,
        "rootless": bed.rootless,
        "notes": bed.notes(),
        "server": bed.server,
        "placements": bed.placements,
        "gpus": reaching.gpus(bed.spec),
        "edge": bed.connection.shown if bed.spec.hardware.has_edge else None,
        "agent": bed.agent.call("describe"),
        "testbed": bed.in_force(),
        **({} if bed.board is None else {"board": bed.board}),
        "link_spec": bed.link.as_dict(),
    }
