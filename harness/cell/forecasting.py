"""Every candidate of a cell with its predictions (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.cell import encodings, revealed
from harness.prediction import constraints, predictors
from harness.prediction.candidates import enumerate_rows
from harness.prediction.circumstances import Circumstances, plain, predict
from harness.prediction.link_theory import LinkPoint
from harness.prediction.predictors import Evidence, Model
from harness.prediction.predictors.paper import equations
from harness.prediction.profile import ModelFeatures, TierProfile
from harness.prediction.recording import rows_of
from harness.prediction.whatif import Axes
from harness.results.lookup import Lookup, axis
from harness.results.schema import Key, Row
from harness.spec import Spec
from harness.transfer.encoding import Encoding
from harness.validation.statistics import best_split
from netem.link import LinkSpec

#: Uplinks (Mbit/s) and round trips (ms) that a reader of a page may turn to; the cell's own are added.
_RATES, _ROUND_TRIPS = (1, 2, 5, 10, 20, 30, 60, 100, 200, 500, 1000), (0, 5, 10, 20, 30, 50, 100, 200)


def forecast(spec: Spec, evidence: Evidence, link: LinkSpec, circumstances: Circumstances | None) -> list[Row]:
    """Every candidate with its `forecast_ms`, its terms, and what the paper's equations say.

    Args:
        evidence: from profiles made at any time, over any link.
        link: the one to predict for.
        circumstances: how requests meet it; None: not to be predicted, which leaves `forecast_ms` empty.
    """
    rows = enumerate_rows(
        evidence.model,
        encodings=encodings.ranked(spec),
        min_split=spec.constraints.min_split,
    )
    if evidence.profiles is not None and evidence.profiles.recordings:
        rows = rows_of(rows, evidence.profiles.recordings)
    if evidence.profiles is not None:
        _fill_paper(rows, evidence, link, spec)
    if circumstances is not None:
        fill(rows, predictors.fit(spec.predictor.name, evidence), link, spec, circumstances, "forecast_ms")
    constraints.apply(
        rows,
        constraints.judge(
            rows, spec.constraints, facts(spec, evidence.model, evidence.profiles.edge if evidence.profiles else None)
        ),
    )
    return rows


def look_up(
    spec: Spec, model: Model, rows: Sequence[Row], link: LinkSpec, circumstances: Circumstances | None
) -> Lookup | None:
    """The candidates over a grid of links, for the page; None where requests do not all meet one plain link."""
    if circumstances is None or not plain(link, circumstances):
        return None
    axes = Axes(axis(spec.bandwidth, _RATES), axis(spec.latency, _ROUND_TRIPS), (spec.hardware.device.slowdown,))
    rates, round_trips, slowdowns = axes.points()
    found = model.predict(
        LinkPoint.of(link, rate_up_mbps=rates, rtt_ms=round_trips),
        rows,
        slowdown=slowdowns,
        connection=circumstances.connection,
        silence_ms=circumstances.silence_ms,
    )
    totals = np.round(found.total_ms, 3).reshape(-1, *axes.shape[:2])
    cells = tuple(
        tuple(tuple(float(ms) if np.isfinite(ms) else None for ms in rtts) for rtts in rates) for rates in totals
    )
    return Lookup(axes.bandwidth_mbps, axes.rtt_ms, found.keys, cells)


def facts(spec: Spec, model: TierProfile | ModelFeatures, edge: TierProfile | None = None) -> constraints.Facts:
    """What the user's constraints need to know.

    Each tier goes by the names of the pair and of the host that it was profiled on.

    Args:
        edge: its profile; None: it is where the device is.
    """
    if spec.hardware.kind == "recorded":
        return recorded_facts(spec, model)
    systems = {}
    for tier, profile in (("device", model), ("edge", edge or model)):
        host = str(profile.fingerprint.get("host", "")) if isinstance(profile, TierProfile) else ""
        systems[tier] = tuple(filter(None, (spec.hardware.name, host.split(",")[0], host)))
    return constraints.model_facts(model, systems=systems, leakage=revealed.by_candidate(spec, model))


def recorded_facts(spec: Spec, model: TierProfile | ModelFeatures) -> constraints.Facts:
    """Of a replayed tier nobody recorded the memory."""
    layers = {cut.layer: cut.index for cut in model.cuts if cut.layer}
    return constraints.Facts(model.last, layers, systems=recorded_systems(spec))


def recorded_systems(spec: Spec) -> dict[str, tuple[str, ...]]:
    """The names that the tiers of recorded hardware go by."""
    hardware = spec.hardware
    systems = (("device", hardware.device.system), ("edge", hardware.edge.system))
    return {tier: tuple(filter(None, (system, hardware.name))) for tier, system in systems}


def _fill_paper(rows: Sequence[Row], evidence: Evidence, link: LinkSpec, spec: Spec) -> None:
    """What the paper says, whichever predictor the cell asks for."""
    pace = spec.hardware.device.slowdown
    theirs = predictors.fit("paper", evidence).predict(link, rows, slowdown=pace).predictions()
    solved = equations(theirs)
    eager = {}
    if evidence.profiled().device.eager_scission_block_ms:
        eager = predictors.fit("paper_eager", evidence).predict(link, rows, slowdown=pace).predictions()
    for row in rows:
        if row.key in theirs:
            row.paper_ms = theirs[row.key].total_ms
            row.equations = solved.get(row.key, {})
        if row.key in eager:
            row.paper_eager_ms = eager[row.key].total_ms


def fill(
    rows: Sequence[Row], model: Model, link: LinkSpec, spec: Spec, circumstances: Circumstances, column: str
) -> None:
    """Set `column` (`forecast_ms` or `predicted_ms`) and the predicted terms of every possible row."""
    pace = spec.hardware.device.slowdown
    predictions = predict(model, link, rows, slowdown=pace, circumstances=circumstances)
    for row in rows:
        own = predictions.get(row.key)
        if own is None:
            continue
        row.predicted_terms = own.terms
        setattr(row, column, own.total_ms)
        if column == "predicted_ms":
            row.predicted_low_ms, row.predicted_high_ms, row.predicted_p95_ms = own.low_ms, own.high_ms, own.p95_ms


def best_of_own(rows: Sequence[Row], spec: Spec) -> Key | None:
    """The best feasible cut by forecast for the cell's own encoding; None where there is none."""
    own = encodings.own(spec)
    mine = [row for row in rows if row.key.split is not None and row.key == own.key(row.key.split)]
    best = best_split(mine, lambda row: row.forecast_ms, spec.constraints.min_split)
    return best.key if best is not None else None


def predicted_best(rows: Sequence[Row], spec: Spec) -> list[Key]:
    """The best split by forecast of each encoding, with the minimum split and without."""
    found = []
    for encoding in encodings.ranked(spec):
        own = [row for row in rows if row.key.split is not None and Encoding.of(row.key) == encoding]
        for min_split in (spec.constraints.min_split, 0):
            row = best_split(own, lambda row: row.forecast_ms, min_split)
            found += [row.key] if row else []
    return list(dict.fromkeys(found))
