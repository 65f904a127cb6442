"""mode=predict: every candidate from cached profiles, on one link or over a grid of them (no TensorFlow, no link)."""

from __future__ import annotations

from pathlib import Path

from harness.cell import history
from harness.cell.cache import ProfileCache
from harness.cell.evidence import FROM_OTHERS, circumstances_of, gather
from harness.cell.forecasting import facts, fill, forecast
from harness.cell.outcome import headline, title
from harness.errors import SpecError
from harness.prediction import constraints, predictors
from harness.prediction.circumstances import Circumstances
from harness.prediction.predictors import Model
from harness.prediction.ranking import Ranking, rank
from harness.prediction.whatif import Axes, winners
from harness.report import console
from harness.report.ranking import print_ranking
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
    profiles = cache.profiles() if spec.predictor.name == FROM_OTHERS else cache.require()
    if profiles is not None:
        cache.export(profiles)
    evidence = gather(spec, profiles, drifted=True)
    forced = {"forced_profiles": dict(profiles.forced)} if profiles is not None and profiles.forced else {}
    link = link_spec(spec)
    circumstances = circumstances_of(spec) or Circumstances()
    rows = forecast(spec, evidence, link, circumstances)
    model = predictors.fit(spec.predictor.name, evidence)
    fill(rows, model, link, spec, circumstances, "predicted_ms")
    summary = summarise(rows, [], min_split=spec.constraints.min_split) | headline(spec) | {"verdict": None}
    # Without enough comparisons on this host the intervals leave drift out, and say so.
    summary |= {
        "drift_observations": len(history.observed(spec)),
        "drift_error": evidence.drift_error or None,
    }
    ranking = ranked(spec, rows, facts(spec, evidence.model, evidence.profiles.edge if evidence.profiles else None))
    summary |= forced
    summary |= {"ranking": ranking.as_dict()}
    with CellWriter(folder) as writer:
        writer.splits(rows)
        if spec.whatif.asked:
            summary |= {"whatif": explore(spec, model, rows, link, folder, circumstances)}
        writer.summary(summary)
    console.print_forecast(rows, min_split=spec.constraints.min_split, title=f"Forecast: {title(spec)}")
    print_ranking(ranking)


def ranked(spec: Spec, rows: list[Row], known: constraints.Facts) -> Ranking:
    """The candidates by the user's objective, under the user's constraints."""
    breaches = constraints.judge(rows, spec.constraints, known)
    return rank(rows, breaches, objective=spec.constraints.objective, top=spec.rank.top)


def explore(
    spec: Spec, model: Model, rows: list[Row], link: LinkSpec, folder: Path, circumstances: Circumstances
) -> dict[str, object]:
    """`whatif.csv` and the map; what they come to, for the summary.

    Raises:
        SpecError: nothing can win.
    """
    from harness.report import whatif  # draws: late

    axes = Axes(
        spec.whatif.bandwidth or (spec.bandwidth,),
        spec.whatif.latency or (spec.latency,),
        spec.whatif.slowdown or (spec.hardware.device.slowdown,),
    )
    try:
        competing = [row for row in rows if spec.whatif.baselines or row.key.split is not None]
        found = winners(
            *(model, competing, axes, link),
            connection=circumstances.connection,
            silence_ms=circumstances.silence_ms,
        )
    except ValueError as error:
        raise SpecError(f"whatif: {error}") from error
    whatif.write_csv(found, folder)
    whatif.draw(found, f"{spec.model.name} on {spec.hardware.name}", folder, spec.report.formats, spec.report.dpi)
    return {"points": int(found.best.size), "winners": {str(key): share for key, share in found.shares().items()}}
