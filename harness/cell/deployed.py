"""mode=measure of a deployment: its halves over the shaped link, Triton on its model repository (`per_cut`).

Such a server times nothing alone, so there are no anchors and no `predicted_ms`; where the cache has profiles, the
forecast stands beside what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.cell import outcome
from harness.cell.cache import ProfileCache
from harness.cell.evidence import circumstances_of, gather
from harness.cell.forecasting import forecast
from harness.errors import SpecError
from harness.offloader.runner import Runner, measure
from harness.preprocessor import manifest
from harness.preprocessor.manifest import Deployment
from harness.report import console
from harness.report.progress import Steps
from harness.results.records import CellWriter
from harness.results.schema import Row, Sample
from harness.spec import Spec
from harness.spec.fields import from_project
from harness.validation import statistics
from harness.validation.server import cross_check

if TYPE_CHECKING:
    from harness.testbed.local import LocalTestbed

_NOT_PREDICTED = (
    "no prediction: a deployment's server answers requests and times nothing alone; the forecast, if any, is that of "
    "the cached profile"
)


def check(spec: Spec) -> None:
    """Find what is wrong before anything is started. Raises SpecError."""
    edge = spec.hardware.edge
    if edge.endpoint != "per_cut":
        if edge.deployment is not None:
            raise SpecError(
                f"hardware.edge.deployment={edge.deployment}: used by hardware.edge.endpoint=per_cut alone; add that, "
                "or leave it null"
            )
        return
    if spec.mode != "measure":
        raise SpecError(
            f"mode={spec.mode}: a deployment's server (hardware.edge.endpoint=per_cut) answers requests and times "
            "nothing alone, so that there is nothing to judge by; allowed: mode=measure"
        )
    find(spec)


def find(spec: Spec) -> Deployment:
    """The cell's deployment, its hashes checked.

    Raises:
        SpecError: there is none, it is damaged, or it is of another model than the cell's.
    """
    given = spec.hardware.edge.deployment
    if given is None:
        raise SpecError(
            "hardware.edge.deployment=null: hardware.edge.endpoint=per_cut runs a deployment; give the folder of a "
            "mode=deploy run"
        )
    found = manifest.load(from_project(given))
    model = found.manifest.model
    if (model["name"], found.manifest.input_shape) != (spec.model.name, tuple(spec.model.input_shape)):
        raise SpecError(
            f"hardware.edge.deployment={given}: it is of {model['name']} with pictures of "
            f"{list(found.manifest.input_shape)}, the cell of {spec.model.name} with {list(spec.model.input_shape)}; "
            f"add model={model['name']}, or give another deployment"
        )
    return found


def measure_samples(
    spec: Spec, bed: LocalTestbed, deployment: Deployment, writer: CellWriter, steps: Steps
) -> tuple[list[Sample], dict[str, Any] | None]:
    """Warm the connection up with requests like those that count, then measure; each sample is written as it comes.

    Beside the samples what the server counted of them.
    """
    tcp = spec.link.tcp
    request = measure(
        deployment.manifest.key,
        spec.measure.connection,
        spec.measure.pause_ms,
        restarts=tcp.slow_start_after_idle,
    )
    runner = Runner(bed.agent, bed.trace, request_timeout_s=spec.measure.timeout_s)
    warmups = spec.measure.warmup + tcp.warmup_transfers
    for number in range(warmups):
        runner.warm([request], paced=number == warmups - 1)
        steps("warming up", (number + 1) / warmups)
    samples: list[Sample] = []
    before = bed.agent.call("statistics")
    for _, sample in runner.rounds([request], spec.measure.samples, seed=spec.seed):
        samples.append(sample)
        writer.samples(sample)
        steps("measuring", len(samples) / spec.measure.samples)
    return samples, cross_check(before, bed.agent.call("statistics"), samples)


def rows_of(spec: Spec, bed: LocalTestbed, deployment: Deployment) -> tuple[list[Row], dict[str, Any]]:
    """Every candidate with its forecast where the cache has profiles, else the deployed one alone; and what of the
    profiles was used by force (`profile.force`), for the summary."""
    forced: dict[str, Any] = {}
    known = deployment.manifest
    profiles = ProfileCache(spec).profiles()
    forced.update(profiles.forced if profiles is not None else {})
    rows = forecast(spec, gather(spec, profiles), bed.link, circumstances_of(spec)) if profiles is not None else []
    if not any(row.key == known.key for row in rows):
        rows.append(Row(known.key, layer=known.layer, payload_bytes=known.payload_bytes))
    return rows, {"forced_profiles": forced} if forced else {}


def conclude(
    spec: Spec,
    deployment: Deployment,
    rows: list[Row],
    samples: Sequence[Sample],
    extra: dict[str, Any],
    writer: CellWriter,
) -> None:
    """Statistics, `splits.csv` and `summary.json`, and what the console shows.

    Args:
        extra: more of the summary: `link`, and `accuracy` where there are labelled images.
    """
    known = deployment.manifest
    statistics.fill_measured(rows, samples, seed=spec.seed)
    summary = statistics.summarise(rows, list(samples), min_split=0) | outcome.headline(spec)
    summary |= extra | {
        "weights": known.model["weights"],
        "deployment": {
            "folder": str(deployment.folder),
            "candidate": known.candidate,
            "triton_model": known.triton_model,
            "accuracy": known.accuracy,
            "versions": known.versions,
        },
        # The halves were compiled with the transfer layer in them.
        "unavailable_terms": [
            *spec.hardware.unavailable_terms,
            *([] if known.key.transfer_layer == "none" else ["device_tl", "edge_tl"]),
        ],
        "verdict": None,
        "reasons": [_NOT_PREDICTED],
    }
    writer.splits(rows)
    writer.summary(summary)
    console.print_final(rows, summary, title=outcome.title(spec))
