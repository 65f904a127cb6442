"""mode=predict: every candidate from cached profiles, on one link or over a grid of them (no TensorFlow, no link)."""

from __future__ import annotations

from pathlib import Path

from harness.cell import history
from harness.cell.cache import ProfileCache
from harness.cell.forecasting import fill, forecast
from harness.cell.outcome import headline, title
from harness.errors import SpecError
from harness.prediction import drift, predictors
from harness.prediction.predictors import Model
from harness.prediction.whatif import Axes, winners
from harness.report import console
from harness.results.records import CellWriter
from harness.results.schema import Row
from harness.spec import Spec
from harness.testbed.link import link_spec
from harness.validation.statistics import summarise
from netem.link import LinkSpec


def predict(spec: Spec, folder: Path) -> None:
    """Re-rank; `predicted_ms` is the forecast. With `whatif` axes also say which candidate wins where.

    Raises:
        SpecError: a predictor lacks what it needs, or no candidate is feasible where a grid is asked for.
    """
    cache = ProfileCache(spec)
    profiles = cache.require()
    cache.export(profiles)
    link = link_spec(spec)
    rows = forecast(spec, profiles, link)
    observed = history.observed(spec)
    drift_error = drift.relative_error(observed)
    evidence = predictors.Evidence(profiles, drift_error=drift_error or 0.0)
    model = predictors.fit(spec.predictor.name, evidence)
    fill(rows, model, link, spec, "predicted_ms")
    summary = summarise(rows, [], min_split=spec.constraints.min_split) | headline(spec) | {"verdict": None}
    # Without enough comparisons on this host the intervals leave drift out, and say so.
    summary |= {"drift_observations": len(observed), "drift_error": drift_error}
    with CellWriter(folder) as writer:
        writer.splits(rows)
        if spec.whatif.asked:
            summary |= {"whatif": _explore(spec, model, rows, link, folder)}
        writer.summary(summary)
    console.print_forecast(rows, min_split=spec.constraints.min_split, title=f"Forecast: {title(spec)}")


def _explore(spec: Spec, model: Model, rows: list[Row], link: LinkSpec, folder: Path) -> dict[str, object]:
    """`whatif.csv` and the map; what they come to, for the summary."""
    from harness.report import whatif  # draws: late

    axes = Axes(
        spec.whatif.bandwidth or (spec.bandwidth,),
        spec.whatif.latency or (spec.latency,),
        spec.whatif.slowdown or (spec.hardware.device.slowdown,),
    )
    try:
        found = winners(model, rows, axes, link)
    except ValueError as error:
        raise SpecError(f"whatif: {error}") from error
    whatif.write_csv(found, folder)
    whatif.draw(found, title(spec), folder, spec.report.formats, spec.report.dpi)
    return {"points": int(found.best.size), "winners": {str(key): share for key, share in found.shares().items()}}
