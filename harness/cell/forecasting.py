"""Every candidate of a cell with its predictions (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from harness.prediction import predictors
from harness.prediction.candidates import enumerate_rows
from harness.prediction.profile import Profiles
from harness.prediction.selection import RANKED
from harness.results.schema import Key, Row
from harness.spec import Spec
from harness.validation.statistics import best_split
from netem.link import LinkSpec


def ranked_layers(spec: Spec) -> tuple[str, ...]:
    """Transfer layers ranked at every cut: original Scission's, the paper's, and the cell's own."""
    return tuple(dict.fromkeys((*RANKED, spec.transfer_layer.name)))


def forecast(spec: Spec, profiles: Profiles, link: LinkSpec) -> list[Row]:
    """Every candidate with its `forecast_ms`, its terms, and what the paper's equations say.

    Args:
        profiles: made at any time, over any link.
        link: the one to predict for.
    """
    rows = enumerate_rows(
        profiles.device,
        transfer_layers=ranked_layers(spec),
        wire_format=spec.wire_format.name,
        min_split=spec.constraints.min_split,
    )
    theirs = predictors.paper(profiles, link, rows, slowdown=spec.hardware.device.slowdown)
    for row in rows:
        if row.key in theirs:
            row.equations = theirs[row.key]
            row.paper_ms = row.equations.pop("paper_ms")
    fill(rows, predictors.fit(profiles), link, spec, "forecast_ms")
    return rows


def fill(rows: Sequence[Row], parameters: predictors.Parameters, link: LinkSpec, spec: Spec, column: str) -> None:
    """Set `column` (`forecast_ms` or `predicted_ms`) and the predicted terms of every possible row."""
    predictions = predictors.predict(parameters, link, rows, slowdown=spec.hardware.device.slowdown)
    for row in rows:
        if row.key not in predictions:
            continue
        if spec.predictor.name == "paper":
            setattr(row, column, row.paper_ms)
            continue
        row.predicted_terms = predictions[row.key]
        setattr(row, column, predictors.total_ms(parameters, row.predicted_terms))
        if column == "predicted_ms":
            row.predicted_low_ms, row.predicted_high_ms = predictors.interval_ms(parameters, row.predicted_terms)


def predicted_best(rows: Sequence[Row], spec: Spec) -> list[Key]:
    """The best split by forecast of each transfer layer, with the minimum split and without."""
    found = []
    for name in ranked_layers(spec):
        own = [row for row in rows if row.key.transfer_layer == name and row.key.split is not None]
        for min_split in (spec.constraints.min_split, 0):
            row = best_split(own, lambda row: row.forecast_ms, min_split)
            found += [row.key] if row else []
    return list(dict.fromkeys(found))
