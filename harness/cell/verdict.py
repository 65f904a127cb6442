"""A cell before the gate: where its prediction errs, the verdict, and the gate's self-test (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.prediction import predictors
from harness.prediction.circumstances import Circumstances, network_ms, predict
from harness.prediction.predictors import Evidence, Prediction
from harness.results.schema import Key, Row, Sample
from harness.spec import Spec
from harness.validation import attribution, gate, selftest
from harness.validation.faults import Setting
from harness.validation.resampling import Draws, draw
from netem.link import LinkSpec

#: A median over a link that changes depends on the moments that its requests met; the interval says so, not the gate.
NO_VERDICT_ON_A_TRACE = (
    "no verdict: the link replays a trace, so that a median depends on the moments its requests met; "
    "predicted_low_ms and predicted_high_ms cover the trace, or judge link=static"
)


@dataclass(frozen=True)
class Case:
    """What is judged.

    evidence: what `predicted_ms` of `rows` was fitted on. link: what was asked for. circumstances: how requests met
        it; None where that cannot be predicted. response_bytes: of an answer.
    """

    spec: Spec
    evidence: Evidence
    link: LinkSpec
    circumstances: Circumstances | None
    rows: Sequence[Row]
    samples: Sequence[Sample]
    response_bytes: int

    def predict(self, evidence: Evidence, link: LinkSpec) -> Mapping[Key, Prediction]:
        """What the cell's predictor makes of other evidence and another link."""
        model = predictors.fit(self.spec.predictor.name, evidence)
        pace = self.spec.hardware.device.slowdown
        circumstances = self.circumstances or Circumstances()
        return predict(model, link, self.rows, slowdown=pace, circumstances=circumstances, checked=False)

    def theory_ms(self, link: LinkSpec) -> dict[Key, float]:
        """What the formula gives for the network of each measured candidate that crosses the link."""
        own = [row for row in self.rows if row.payload_bytes is not None and row.measured_ms is not None]
        return network_ms(link, own, self.response_bytes, self.circumstances or Circumstances())


@dataclass(frozen=True)
class Findings:
    """What came of it.

    verdict: what decides the exit code; with the self-test, whether it caught every fault.
    summary: what is added to `summary.json`. errors: the lines of `errors.csv`.
    """

    verdict: str | None
    summary: dict[str, Any]
    errors: list[dict[str, Any]]


def find(case: Case, summary: Mapping[str, Any]) -> Findings:
    """Attribute the errors and, in mode=validate, judge them.

    Args:
        summary: the cell's statistics, its `link` and `unavailable_terms`.
    """
    draws = draw(case.samples, case.spec.seed)
    added: dict[str, Any] = {
        "terms": attribution.term_summary(case.rows, draws),
        "link": {**summary["link"], "emulation_error": _emulation_error(case, summary["link"])},
        "verdict": None,
        "reasons": [],
        "judgements": [],
    }
    errors = attribution.error_records(case.rows, draws)
    if case.spec.mode != "validate":
        return Findings(None, added, errors)
    if case.circumstances is not None and case.circumstances.trace is not None:
        added["reasons"] = [NO_VERDICT_ON_A_TRACE]
        return Findings(None, added, errors)
    judged = gate.judge(
        case.rows,
        case.samples,
        summary,
        case.spec.gate,
        network_theory_ms=case.theory_ms(case.link),
        draws=draws,
    )
    added |= {
        "verdict": judged.verdict,
        "reasons": list(judged.reasons),
        "judgements": [asdict(each) for each in judged.judgements],
    }
    if not (case.spec.gate.selftest and case.spec.gate.enabled):
        return Findings(judged.verdict, added, errors)
    return Findings(*_self_tested(case, summary, judged, draws, added), errors)


def _self_tested(
    case: Case, summary: Mapping[str, Any], judged: gate.Verdict, draws: Draws, added: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The verdict on the gate itself, and the summary with what it made of each fault.

    `verdict` there stays that of the cell without a fault; `reasons` has a line for each that was missed.
    """
    results = selftest.run(
        case.rows,
        case.samples,
        summary,
        case.spec.gate,
        clean=judged,
        setting=Setting(case.evidence, case.link, case.spec.hardware.device.slowdown, case.predict),
        theory=case.theory_ms,
        draws=draws,
    )
    lines = selftest.missed(results, judged)
    added = added | {"selftest": [each.record() for each in results], "reasons": [*added["reasons"], *lines]}
    return (gate.FAIL if lines else gate.PASS), added


def _emulation_error(case: Case, facts: Mapping[str, Any]) -> dict[str, float | None]:
    """What the emulated link is off from the one asked for, and what that explains of the total's error."""
    requested, achieved = facts["requested"], facts["achieved"]
    if case.circumstances is None:  # no formula says what the difference costs a request
        return attribution.emulation_error(requested, achieved, case.rows, {})
    link = case.link
    stretch = (achieved.get("rtt_ms") or link.rtt_ms) / link.rtt_ms if link.rtt_ms else 1.0
    real = replace(
        link,
        rate_up_mbps=achieved.get("rate_up_mbps") or link.rate_up_mbps,
        delay_up_ms=link.delay_up_ms * stretch,
        delay_down_ms=link.delay_down_ms * stretch,
    )
    asked, got = case.theory_ms(link), case.theory_ms(real)
    moved = {key: got[key] - asked[key] for key in asked}
    return attribution.emulation_error(requested, achieved, case.rows, moved)
