"""Claims as `claims.csv`, `claims.md` and lines for the console."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.report.claims.evaluation import KINDS, Outcome
from harness.results.records import csv_text, write_atomic

COLUMNS = (
    *("id", "section", "claim", "unit", "paper"),
    *(name for kind in KINDS for name in (kind, f"{kind}_where")),
    *("comparable", "because", "carried", "minutes", "needs"),
)
_HEADER = (
    "section", "claim", "paper", "Eqs. 1-6", "ours predicted", "ours measured", "comparable", "carried", "min",
)  # fmt: skip
_NOTHING = "–"
_WIDTH = 100


def records(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A line for each claim, by `COLUMNS`."""
    return [
        {name: getattr(each.claim, name) for name in ("id", "section", "claim", "unit", "paper", "needs")}
        | {kind: each.found[kind][0] for kind in each.found}
        | {f"{kind}_where": each.found[kind][1] for kind in each.found}
        | {name: getattr(each, name) for name in ("comparable", "because", "carried", "minutes")}
        for each in outcomes
    ]


def write(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """`claims.csv` and `claims.md`; gives their paths."""
    paths = [folder / "claims.csv", folder / "claims.md"]
    write_atomic(paths[0], csv_text(COLUMNS, records(outcomes)))
    write_atomic(paths[1], table(outcomes))
    return paths


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: the numbers, and below them what each needs and why it is comparable or not."""
    lines = ["| " + " | ".join(_HEADER) + " |", "|" + "---|" * len(_HEADER)]
    lines += [
        "| " + " | ".join((each.claim.section, each.claim.claim, *_numbers(each, where=True))) + " |"
        for each in outcomes
    ]
    lines += ["", "| claim | the paper's number needs | comparable? |", "|---|---|---|"]
    lines += [f"| {each.claim.claim} | {each.claim.needs} | {each.comparable}: {each.because} |" for each in outcomes]
    return "\n".join(lines) + "\n"


def console(outcomes: Sequence[Outcome]) -> list[str]:
    """Two lines for each claim, at most 100 columns wide; a third says why it is not (wholly) comparable."""
    lines = [f"{'':<10}{'paper':>9} {'Eqs. 1-6':>9} {'predicted':>9} {'measured':>9}  comparable  carried          min"]
    for each in outcomes:
        paper, equations, predicted, measured, comparable, carried, minutes = _numbers(each, where=False)
        lines.append(f"{each.claim.section}: {each.claim.claim} ({each.claim.unit})"[:_WIDTH])
        numbers = f"{'':<10}{paper:>9} {equations:>9} {predicted:>9} {measured:>9}"
        lines.append(f"{numbers}  {comparable:<11} {carried:<16} {minutes:>4}")
        if each.comparable != "yes":
            lines.append(f"{'':<10}{each.because}"[:_WIDTH])
    return [*lines, summary(outcomes)]


def summary(outcomes: Sequence[Outcome]) -> str:
    """All claims in a sentence."""
    known = [each for each in outcomes if each.found]
    carried = sum(each.carried.startswith("yes") for each in known)
    refuted = sum(each.carried.startswith("no") for each in known)
    return (
        f"{len(outcomes)} claims: {carried} carried, {refuted} not, {len(known) - carried - refuted} in words alone, "
        f"{len(outcomes) - len(known)} without cells here."
    )


def _numbers(each: Outcome, *, where: bool) -> tuple[str, ...]:
    def shown(kind: str) -> str:
        if kind not in each.found:
            return _NOTHING
        value, place = each.found[kind]
        return f"{value:.4g} ({place})" if where and place else f"{value:.4g}"

    return (
        _NOTHING if each.claim.paper is None else f"{each.claim.paper:g}",
        *(shown(kind) for kind in KINDS),
        each.comparable,
        each.carried,
        _NOTHING if each.minutes is None else f"{each.minutes:.1f}",
    )
