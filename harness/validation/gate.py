"""The gate: does the prediction hold, and did the measurement mean what it says?

Every quantity is judged in three states (`decision`) by the 95 % interval of its error over requests drawn again
(`resampling`): statistics of the total, each term that carries more than a share of it, the terms whose own
measurement is precise in any case, and the network's time against the link formula without any fitted constant.
What cannot be noise (`structure`) fails at once. A cell that wavers by more than `max_noise` passes nothing, and
fails only what is off by more than it wavers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.results.schema import Key, Row, Sample
from harness.validation import judging
from harness.validation.decision import FAIL, INCONCLUSIVE, PASS, Judgement
from harness.validation.resampling import Draws, draw
from harness.validation.settings import GateSettings
from harness.validation.structure import expected_terms, missing_terms, no_network_theory, open_sums

__all__ = ["FAIL", "INCONCLUSIVE", "PASS", "GateSettings", "Judgement", "Verdict", "expected_terms", "judge"]

_FEWEST_SAMPLES = 3  # below that a median cannot outvote one outlier


@dataclass(frozen=True)
class Verdict:
    """`pass`, `fail`, `inconclusive`, or None when the gate is off; why, a line each; and every judgement."""

    verdict: str | None
    reasons: tuple[str, ...] = ()
    judgements: tuple[Judgement, ...] = ()

    def failed(self) -> frozenset[str]:
        """The quantities that failed."""
        return frozenset(each.quantity for each in self.judgements if each.verdict == FAIL)


def judge(
    rows: Sequence[Row],
    samples: Sequence[Sample],
    summary: Mapping[str, Any],
    settings: GateSettings,
    *,
    network_theory_ms: Mapping[Key, float],
    draws: Draws | None = None,
    seed: int = 0,
) -> Verdict:
    """Judges one cell.

    Args:
        rows: with their predicted and measured columns filled.
        samples: the requests behind them.
        summary: the cell's `noise_floor` and `drift`; `speed_change`, by tier how many times as long as in the
            profile its compute takes now; and `unavailable_terms`, those that this testbed cannot see.
        settings: the tolerances.
        network_theory_ms: what the link formula gives for each candidate that crosses the link, in ms.
        draws: of `samples`, where they were drawn already; else drawn from `seed`.
    """
    if not settings.enabled:
        return Verdict(None)
    if not samples or all(row.measured_ms is None for row in rows):
        return Verdict(INCONCLUSIVE, ("nothing was measured: no row has a measured_ms",))
    broken = [
        *missing_terms(samples, set(summary.get("unavailable_terms") or ())),
        *open_sums(samples, settings.max_other_share),
        *no_network_theory(rows, network_theory_ms),
    ]
    noise = max(summary.get("noise_floor") or 0.0, abs(summary.get("drift") or 0.0))
    noisy = _noisy(summary, settings)
    cell = judging.Measured(
        rows=rows,
        draws=draws or draw(samples, seed),
        noise=noise if noisy else 0.0,
        noise_floor=summary.get("noise_floor") or 0.0,
        min_split=summary.get("min_split") or 0,
        speed_change=summary.get("speed_change") or {},
    )
    judgements = (
        *judging.totals(cell, settings),
        *judging.terms(cell, settings),
        *judging.network(cell, settings, network_theory_ms),
    )
    few = _too_few(rows)
    failed = [each.reason for each in judgements if each.verdict == FAIL]
    undecided = few + noisy + _unpredicted(rows)
    undecided += [each.reason for each in judgements if each.verdict == INCONCLUSIVE]
    if not judgements:
        undecided.append("nothing was judged: the gate has no tolerance for anything that was measured")
    if broken or (failed and not few):
        return Verdict(FAIL, (*broken, *failed, *undecided), judgements)
    return Verdict(INCONCLUSIVE if undecided else PASS, (*failed, *undecided), judgements)


def _too_few(rows: Sequence[Row]) -> list[str]:
    few = [row for row in rows if row.measured_ms is not None and (row.samples or 0) < _FEWEST_SAMPLES]
    if not few:
        return []
    return [
        f"{few[0].key}: {few[0].samples or 0} samples, allowed {_FEWEST_SAMPLES} or more "
        f"({len(few)} such rows): raise measure.samples"
    ]


def _unpredicted(rows: Sequence[Row]) -> list[str]:
    """Why nothing passes for candidates that nobody predicted: an error that is not there is none of 0."""
    found = [row for row in rows if row.measured_ms is not None and row.predicted_ms is None]
    if not found:
        return []
    return [f"{found[0].key}: measured, and not predicted ({len(found)} such rows): nothing says how far off that is"]


def _noisy(summary: Mapping[str, Any], settings: GateSettings) -> list[str]:
    """Why nothing of this cell can pass: it wavers by more than what is allowed."""
    if settings.max_noise is None:
        return []
    found = ((name, summary.get(name)) for name in ("noise_floor", "drift"))
    return [
        f"{name} is {value:.1%}, allowed {settings.max_noise:.1%} (gate.max_noise): "
        "quieten the machine and measure again"
        for name, value in found
        if value is not None and abs(value) > settings.max_noise
    ]
