"""The ranking on the screen: feasible candidates by the objective, then near misses with what they break."""

from __future__ import annotations

from typing import TextIO

from harness.prediction.ranking import Place, Ranking, shown_objective
from harness.report import style
from harness.report.console import new_console, new_table


def print_ranking(ranking: Ranking, *, file: TextIO | None = None) -> None:
    """One table for both kinds, and the ranking's sentence."""
    table = new_table(f"Ranking by {shown_objective(ranking.objective)}")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("candidate", no_wrap=True)
    weighted = not isinstance(ranking.objective, str)
    for header in ("latency\n(ms)", "payload\n(kB)", *(["score"] if weighted else [])):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("breaks")
    for place in ranking.feasible:
        table.add_row(*_line(place, weighted))
    if ranking.feasible and ranking.near_misses:
        table.add_section()
    for place in ranking.near_misses:
        table.add_row(*_line(place, weighted), style="dim")
    console = new_console(file)
    if table.row_count:
        console.print(table)
    console.print(ranking.sentence, highlight=False, markup=False, soft_wrap=True)


def _line(place: Place, weighted: bool) -> list[str]:
    return [
        f"({place.rank})" if place.breaches else str(place.rank),
        style.short_name(place.key),
        style.milliseconds(place.latency_ms),
        style.payload(place.payload_bytes),
        *([f"{place.score:.3f}"] if weighted else []),
        "; ".join(breach.text.replace("constraints.", "") for breach in place.breaches),
    ]
