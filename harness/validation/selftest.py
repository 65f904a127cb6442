"""The gate's self-test: does each planted fault turn it red, on the very samples that it has just let pass?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.results.schema import Key, Row, Sample
from harness.validation import gate
from harness.validation.faults import FAULTS, Planted, Setting
from harness.validation.resampling import Draws
from harness.validation.settings import GateSettings
from netem.link import LinkSpec

#: By candidate that crosses a link, what its formula gives in ms.
Theory = Callable[[LinkSpec], Mapping[Key, float]]


@dataclass(frozen=True)
class Caught:
    """One fault: the verdict with it planted, whether it turned the gate red, and what failed."""

    fault: str
    verdict: str | None
    caught: bool
    reasons: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        return {**asdict(self), "reasons": list(self.reasons)}


def run(
    rows: Sequence[Row],
    samples: Sequence[Sample],
    summary: Mapping[str, Any],
    settings: GateSettings,
    *,
    clean: gate.Verdict,
    setting: Setting,
    theory: Theory,
    draws: Draws,
) -> list[Caught]:
    """Plant every fault once and judge again; nothing is measured.

    Args:
        rows, samples, summary, settings, draws: what the gate judged.
        clean: its verdict without a fault. Where that is red already no fault can turn it so, and none counts as
            caught.
        setting: what the prediction was made from.
    """
    found = []
    for name, fault in FAULTS.items():
        planted = fault(setting)
        judged = gate.judge(
            with_predictions(rows, planted),
            samples,
            summary,
            settings,
            network_theory_ms=theory(planted.link),
            draws=draws,
        )
        failed = tuple(each.reason for each in judged.judgements if each.verdict == gate.FAIL)
        caught = judged.verdict == gate.FAIL and clean.verdict != gate.FAIL
        found.append(Caught(name, judged.verdict, caught, failed or judged.reasons))
    return found


def missed(results: Sequence[Caught], clean: gate.Verdict) -> list[str]:
    """A line for what the self-test did not show; empty when every fault was caught."""
    if clean.verdict == gate.FAIL:
        return ["self-test: the gate is red without any fault, so no fault can turn it red"]
    return [
        f"self-test: {each.fault} was planted and the verdict was {each.verdict}, allowed: {gate.FAIL}"
        for each in results
        if not each.caught
    ]


def with_predictions(rows: Sequence[Row], planted: Planted) -> list[Row]:
    """Copies of the rows with the planted prediction in the place of theirs; the forecast stays."""
    return [
        replace(row, predicted_ms=own.total_ms, predicted_terms=dict(own.terms))
        if (own := planted.predictions.get(row.key)) is not None
        else row
        for row in rows
    ]
