"""Every quantity of a cell against its tolerance: statistics of the total, terms, and the network by formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.results.schema import TERMS, Key, Row
from harness.validation.attribution import EQUATIONS, predicted_ms
from harness.validation.decision import FAIL, INCONCLUSIVE, PASS, Judgement, samples_needed, verdict_of
from harness.validation.estimators import is_split
from harness.validation.resampling import NETWORK, TOTAL, Array, Draws, interval
from harness.validation.settings import GateSettings

FRACTION, MS = "fraction", "ms"


@dataclass(frozen=True)
class Measured:
    """One cell as the gate sees it.

    rows: with predictions. draws: of the requests. min_split: the smallest split that counts for the regret.
    noise: by how much a cell wavers that wavers too much to pass, a fraction; else 0.
    noise_floor: of the cell, a fraction; no tolerance of the total may lie below it.
    speed_change: by tier, how many times as long as in the profile its compute takes now, by anchors.
    """

    rows: Sequence[Row]
    draws: Draws
    min_split: int = 0
    noise: float = 0.0
    noise_floor: float = 0.0
    speed_change: Mapping[str, float] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Requests behind a candidate, the fewest."""
        return int(self.draws.counts.min())


def totals(cell: Measured, settings: GateSettings) -> list[Judgement]:
    """The statistics of the total that have a tolerance. DESIGN: "Statistics"."""
    predicted = predicted_ms(cell.rows, cell.draws.keys, TOTAL)
    wanted = [
        ("mape", settings.max_mape),
        ("p95_abs_error", settings.max_p95_abs_error),
        ("bias", settings.max_bias),
    ]
    found = [_of_errors(cell, name, predicted, allowed) for name, allowed in wanted if allowed is not None]
    if settings.max_forecast_mape is not None:
        found.append(_of_forecast(cell, settings.max_forecast_mape))
    if settings.max_regret is not None:
        found += _regret(cell, predicted, settings.max_regret)
    return found


def _of_forecast(cell: Measured, tolerance: float) -> Judgement:
    """What only a change of the host's speed since the profile explains is nobody's error: nothing is decided then.

    A change is one factor a tier, seen by anchors that no measured request shares; a profile that is wrong in some
    places is not excused by it.
    """
    by_key = {row.key: row for row in cell.rows}
    forecast = np.array([_or_nan(by_key[key].forecast_ms) for key in cell.draws.keys])
    judged = _of_errors(cell, "forecast_mape", forecast, tolerance)
    if judged.verdict != FAIL or not cell.speed_change:
        return judged
    at_todays_speed = forecast.copy()
    for tier, times in cell.speed_change.items():
        at_todays_speed += np.nan_to_num(predicted_ms(cell.rows, cell.draws.keys, tier)) * (1 - 1 / times)
    excused = _of_errors(cell, "forecast_mape", at_todays_speed, tolerance)
    if excused.verdict == FAIL:
        return judged
    changes = ", ".join(f"{tier} {times:.2f}" for tier, times in cell.speed_change.items())
    reason = (
        f"forecast_mape is {judged.estimate:.2%}, allowed {tolerance:.2%}, but {excused.estimate:.2%} at the speed of "
        f"now: compute takes {changes} times what it took in the profile; profile again (profile.refresh=true)"
    )
    return replace(judged, verdict=INCONCLUSIVE, samples_needed=None, reason=reason)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _of_errors(cell: Measured, name: str, predicted: Array, tolerance: float) -> Judgement:
    measured = cell.draws.of(TOTAL)
    chosen = np.isfinite(predicted) & (measured > 0)
    if not chosen.any():
        reason = f"{name} cannot be computed: no row is both predicted and measured"
        return Judgement(name, INCONCLUSIVE, np.nan, np.nan, np.nan, tolerance, FRACTION, cell.samples, None, reason)
    estimate = float(_statistic(name, (predicted / measured - 1)[chosen][None, :])[0])
    drawn = _statistic(name, predicted[chosen] / cell.draws.drawn(TOTAL, chosen) - 1)
    cause = _blame(cell) if name != "forecast_mape" else "; the profile, or the machine since it was made"
    return _decide(cell, name, estimate, drawn, tolerance, FRACTION, slack=cell.noise, cause=cause)


def _statistic(name: str, errors: Array) -> Array:
    """[drawing, candidate] -> [drawing]."""
    if name == "bias":
        return np.asarray(errors.mean(axis=1))
    if name == "p95_abs_error":
        return np.asarray(np.percentile(np.abs(errors), 95, axis=1))
    return np.asarray(np.abs(errors).mean(axis=1))


def _regret(cell: Measured, predicted: Array, tolerance: float) -> list[Judgement]:
    """Loss of the best predicted split against the best measured; nothing where no split can be chosen."""
    by_key = {row.key: row for row in cell.rows}
    splits = np.array([is_split(by_key[key], cell.min_split) for key in cell.draws.keys])
    chosen = splits & np.isfinite(predicted)
    if not chosen.any():
        return []
    best = int(np.argmin(predicted[chosen]))

    def lost(measured: Array) -> Array:
        values = measured[:, best] / measured.min(axis=1) - 1
        return np.where(values < cell.noise_floor, 0.0, values)

    estimate = float(lost(cell.draws.of(TOTAL)[chosen][None, :])[0])
    # Mirrored it would go below nothing lost, where the same split is best in most drawings.
    mirrored = 2 * estimate - lost(cell.draws.drawn(TOTAL, chosen))
    cause = f"; predicted best: {cell.draws.keys[int(np.flatnonzero(chosen)[best])]}"
    return [_decide(cell, "regret", estimate, mirrored, tolerance, FRACTION, slack=cell.noise, cause=cause)]


def terms(cell: Measured, settings: GateSettings) -> list[Judgement]:
    """Each term's mean |error| against the mean of what is allowed.

    At the candidates where it carries more than `min_term_share` of the total; at all where its tolerance says so,
    since a term that is measured to some 0.1 ms shows faults that drown in the total.
    """
    found = []
    whole = cell.draws.of(TOTAL)
    for name in TERMS:
        allowed = settings.term(name)
        if allowed.share is None:
            continue
        predicted, measured = predicted_ms(cell.rows, cell.draws.keys, name), cell.draws.of(name)
        chosen = np.isfinite(predicted) & np.isfinite(measured)
        if not allowed.always:
            chosen &= measured > settings.min_term_share * whole
        if chosen.any():
            tolerance = float(np.mean(allowed.share * whole[chosen] + allowed.absolute_ms))
            found.append(_in_ms(cell, name, predicted, chosen, tolerance, EQUATIONS[name]))
    return found


def network(cell: Measured, settings: GateSettings, theory_ms: Mapping[Key, float]) -> list[Judgement]:
    """The network's time against the link formula with no constant fitted: sees what a fit would absorb."""
    formula = np.array([theory_ms.get(key, np.nan) for key in cell.draws.keys])
    chosen = np.isfinite(formula) & np.isfinite(cell.draws.of(NETWORK))
    if not chosen.any():
        return []
    tolerance = float(np.mean(settings.network_relative * formula[chosen] + settings.network_absolute_ms))
    return [_in_ms(cell, NETWORK, formula, chosen, tolerance, "the TCP formula alone, as the link was asked for")]


def _in_ms(
    cell: Measured, name: str, predicted: Array, chosen: NDArray[np.bool_], tolerance: float, equation: str
) -> Judgement:
    errors = (predicted - cell.draws.of(name))[chosen]
    drawn = predicted[chosen] - cell.draws.drawn(name, chosen)
    worst = cell.draws.keys[int(np.flatnonzero(chosen)[np.argmax(np.abs(errors))])]
    mean = float(errors.mean())
    cause = (
        f"; {'too slow' if mean > 0 else 'too fast'} by {abs(mean):.2f} ms on the mean of {len(errors)} candidates, "
        f"worst at {worst}; responsible: {equation}"
    )
    slack = cell.draws.wavering_ms(name, chosen) if cell.noise else 0.0
    return _decide(
        cell, name, float(np.abs(errors).mean()), np.abs(drawn).mean(axis=1), tolerance, MS, slack=slack, cause=cause
    )


def _decide(
    cell: Measured,
    name: str,
    estimate: float,
    drawn: Array,
    tolerance: float,
    unit: str,
    *,
    slack: float,
    cause: str,
) -> Judgement:
    low, high = interval(estimate, drawn)
    if name != "bias":  # no mean of absolute errors lies below 0
        low, high = max(0.0, low), max(0.0, high)
    refused = unit == FRACTION and name != "regret" and tolerance < cell.noise_floor
    verdict = verdict_of(low, high, tolerance, max(slack, cell.noise_floor) if refused else slack)
    if refused and verdict == PASS:
        verdict = INCONCLUSIVE
    needed = None
    shown = [f"{value:.2%}" if unit == FRACTION else f"{value:.2f} ms" for value in (estimate, low, high, tolerance)]
    reason = "{} is {} (95 % interval {} to {}), allowed {}".format(name, *shown)
    if verdict == FAIL:
        reason += cause
    elif refused:
        reason += f", which is below the noise floor of {cell.noise_floor:.2%} and cannot be judged"
    elif verdict == INCONCLUSIVE:
        needed = samples_needed(estimate, low, high, tolerance, cell.samples)
        reason += _what_would_decide(needed, cell.samples)
    return Judgement(
        name, verdict, estimate, low, high, tolerance, unit, cell.samples, needed, "" if verdict == PASS else reason
    )


def _what_would_decide(needed: int | None, samples: int) -> str:
    if needed is None:
        return f"; measured {samples} times a candidate, and no number of samples within reason would decide"
    return f"; measured {samples} times a candidate, about {needed} would decide: measure.samples={needed}"


def _blame(cell: Measured) -> str:
    """The term that errs most, and the equation behind it."""
    errors = {}
    for name in TERMS:
        error = predicted_ms(cell.rows, cell.draws.keys, name) - cell.draws.of(name)
        if np.isfinite(error).any():
            errors[name] = float(np.nansum(error))
    if not errors:
        return ""
    name = max(errors, key=lambda term: abs(errors[term]))
    mean = errors[name] / len(cell.draws.keys)
    return f"; most of it in {name}, {mean:+.2f} ms a candidate; responsible: {EQUATIONS[name]}"
