"""Computes claims from cells: every way of `Compute` is a small function of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from harness.report.claims.library import Library, minutes_of
from harness.report.claims.schema import Claim, Compute, Selection
from harness.results import accuracy
from harness.results.cells import Cell
from harness.results.schema import Row

Value = Callable[[Row], float | None]
#: What of ours stands beside the paper's number: its own equations on the recorded profiles, our prediction, and what
#: was measured over the link.
KINDS: dict[str, Value] = {
    "equations": lambda row: row.paper_ms,
    "predicted": lambda row: row.predicted_ms,
    "measured": lambda row: row.measured_ms,
}
#: A claim counts as carried from this share of its number on; nothing that was measured twice is nearer.
CARRIED = 0.95
#: A number with where it was found, in words.
Found = tuple[float, str]


@dataclass
class Outcome:
    """A claim and what came out.

    found: by kind, the number and where; empty where no cell has what it needs.
    missing: why it is empty. minutes: that the cells behind it took.
    """

    claim: Claim
    found: dict[str, Found] = field(default_factory=dict)
    missing: str = ""
    minutes: float | None = None

    @property
    def comparable(self) -> str:
        """`yes`, `partly` or `no`."""
        return self.claim.comparable if self.found else "no"

    @property
    def because(self) -> str:
        """Why it is comparable, or not."""
        return self.claim.because if self.found else self.missing

    @property
    def carried(self) -> str:
        """Whether ours carries the claim: by what was measured, else predicted, else by the equations."""
        if not self.found:
            return "–"
        claim = self.claim
        if claim.comparable == "no":
            return "–"
        if claim.paper is None or claim.expect == "told":
            return "see text"
        kind = next(kind for kind in reversed(KINDS) if kind in self.found)
        ours = self.found[kind][0]
        held = {
            "at_least": ours >= CARRIED * claim.paper,
            "at_most": ours <= claim.paper / CARRIED,
            "equal": ours == claim.paper,
        }[claim.expect]
        return f"{'yes' if held else 'no'} ({kind})"


def evaluate(claims: Sequence[Claim], sources: Sequence[Path]) -> list[Outcome]:
    """Every claim, computed from the cells below `sources`."""
    library = Library(sources)
    return [_Evaluation(claim, library).outcome() for claim in claims]


class _Missing(Exception):
    """What a claim needs is not there; the message says why."""


class _Evaluation:
    """One claim; remembers the cells that it looked at."""

    def __init__(self, claim: Claim, library: Library) -> None:
        self._claim = claim
        self._library = library
        self._used: dict[Path, Cell] = {}

    def outcome(self) -> Outcome:
        compute = self._claim.compute
        try:
            found = self._found(compute)
        except _Missing as why:
            return Outcome(self._claim, missing=str(why), minutes=self._minutes())
        missing = "" if found else "the cells are there, but hold no such number"
        return Outcome(self._claim, found, missing, self._minutes())

    def _found(self, compute: Compute) -> dict[str, Found]:
        if compute.ratio is not None:
            upper, lower = compute.ratio
            return self._by_kind(lambda value: self._ratio(upper, lower, value, by_cut=compute.pair == "cut"))
        if compute.best_cut is not None:
            own, counts = compute.best_cut, compute.counts
            return self._by_kind(lambda value: self._best_cut(own, value, counts))
        if compute.term_us is not None:
            return self._term(compute.term_us, str(compute.term))
        if compute.payload is not None:
            return {"predicted": self._payload(*compute.payload)}
        if compute.smallest_payload is not None:
            return {"predicted": self._smallest(compute.smallest_payload)}
        if compute.mean_error is not None:
            return self._mean_error(compute.mean_error)
        if compute.accuracy is not None:
            return {"measured": self._accuracy(compute.accuracy, str(compute.value))}
        return {"measured": self._duration(compute)}

    # -- cells and rows ---------------------------------------------------------------------------------

    def _cells(self, selection: Selection) -> list[Cell]:
        cells = self._library.of(selection)
        if not cells:
            raise _Missing(_not_run(selection))
        left_out = [str(cell.summary["left_out"]) for cell in cells if cell.summary.get("left_out")]
        kept = [cell for cell in cells if not cell.summary.get("left_out")]
        if not kept:
            raise _Missing(left_out[0])
        return kept

    def _rows(self, selection: Selection, cell: Cell | None = None) -> list[Row]:
        own = cell if cell is not None else self._cells(selection)[0]
        self._used[own.folder] = own
        low, high = selection.cuts or (0, 10**9)
        return [
            row
            for row in own.rows
            if row.key.candidate == selection.candidate
            and selection.transfer_layer in (None, row.key.transfer_layer)
            and (row.key.split is None or low <= row.key.split <= high)
            and (row.key.split is None or row.key.wire_format == "float32")
        ]

    def _by_kind(self, compute: Callable[[Value], Found | None]) -> dict[str, Found]:
        return {kind: found for kind, value in KINDS.items() if (found := compute(value)) is not None}

    # -- ways to compute --------------------------------------------------------------------------------

    def _ratio(self, upper: Selection, lower: Selection, value: Value, *, by_cut: bool) -> Found | None:
        rows = self._rows(upper), self._rows(lower)
        if by_cut:
            times = [{row.key.split: ms for row in own if (ms := value(row)) is not None} for own in rows]
            gains = [(times[0][cut] / times[1][cut], cut) for cut in times[0] if cut in times[1]]
            return (max(gains)[0], f"cut {max(gains)[1]}") if gains else None
        top, bottom = (_taken(own, value, by) for own, by in zip(rows, (upper.take, lower.take), strict=True))
        if top is None or bottom is None:
            return None
        places = " / ".join(filter(None, (top[1], bottom[1])))
        return top[0] / bottom[0], places

    def _best_cut(self, selection: Selection, value: Value, counts: int | None) -> Found | None:
        if counts is None:
            found = _taken(self._rows(selection), value, "least")
            return (float(found[1].removeprefix("cut ")), f"{found[0]:.1f} ms") if found and found[1] else None
        newest: dict[str, Cell] = {}
        for cell in self._cells(selection):
            newest.setdefault(str(cell.hardware), cell)
        bests = {name: _taken(self._rows(selection, cell), value, "least") for name, cell in newest.items()}
        known = {name: best[1] for name, best in bests.items() if best is not None}
        agreeing = sum(cut == f"cut {counts}" for cut in known.values())
        return (agreeing / len(known), f"{agreeing} of {len(known)} recorded") if known else None

    def _term(self, selection: Selection, term: str) -> dict[str, Found]:
        """The largest of a term. Where it was replayed nothing measured it: a tier waits until its terms together are
        over, so that one of them may end early for another that ended late."""
        rows = self._rows(selection)
        found = {}
        for kind, own in (("predicted", rows), ("measured", [row for row in rows if term not in row.replayed])):
            times = [(getattr(row, f"{kind}_terms").get(term), row.key.split) for row in own]
            known = [(1e3 * ms, cut) for ms, cut in times if ms is not None]
            if known:
                found[kind] = (max(known)[0], f"cut {max(known)[1]}")
        return found

    def _payload(self, upper: Selection, lower: Selection) -> Found:
        sizes = [{row.key.split: row.payload_bytes for row in self._rows(own)} for own in (upper, lower)]
        ratios = [
            (sizes[0][cut] or 0) / (sizes[1][cut] or 1) for cut in sizes[0] if sizes[0][cut] and sizes[1].get(cut)
        ]
        if not ratios:
            raise _Missing("no cut has both payloads")
        return median(ratios), f"median of {len(ratios)} cuts, {min(ratios):.3f} to {max(ratios):.3f}"

    def _smallest(self, selection: Selection) -> Found:
        known = [(row.payload_bytes, row.key.split) for row in self._rows(selection) if row.payload_bytes]
        if not known:
            raise _Missing("no cut has a payload")
        size, cut = min(known, key=lambda pair: pair[0])
        return float(cut or 0), f"{size / 1e3:.0f} kB"

    def _mean_error(self, selection: Selection) -> dict[str, Found]:
        rows = [row for row in self._rows(selection) if row.measured_ms]
        found = {}
        for kind in ("equations", "predicted"):
            errors = [abs(ms / (row.measured_ms or 1) - 1) for row in rows if (ms := KINDS[kind](row)) is not None]
            if errors:
                found[kind] = (100 * fmean(errors), f"{len(errors)} cuts")
        return found

    def _accuracy(self, selection: Selection, value: str) -> Found:
        cells = [cell for cell in self._cells(selection) if (cell.folder / accuracy.ACCURACY).exists()]
        if not cells:
            raise _Missing(_not_run(selection))
        self._used[cells[0].folder] = cells[0]
        record, rows = accuracy.read(cells[0].folder)
        original, retrained = accuracy.find(rows, "original"), accuracy.find(rows, "tl_retrained")
        if original is None or retrained is None:
            raise _Missing("the training has no retrained model")
        where = f"{record['dataset']}, cut {record['split']}"
        values = {
            "original_top5": 100 * original.top5,
            "retrained_top5": 100 * retrained.top5,
            "top5_drop_points": 100 * (original.top5 - retrained.top5),
        }
        return values[value], where

    def _duration(self, compute: Compute) -> Found:
        given = compute.duration
        wanted = given if isinstance(given, tuple) else (given,)
        minutes = []
        for selection in wanted:
            if selection is None:
                continue
            cell = self._cells(selection)[0]
            self._used[cell.folder] = cell
            took = minutes_of(cell)
            if took is None:
                raise _Missing(f"{cell.name} does not say how long it took")
            minutes.append(took)
        if len(minutes) == 1:
            return minutes[0], "minutes"
        return minutes[0] / minutes[1], f"{60 * minutes[0]:.0f} s / {60 * minutes[1]:.2f} s"

    def _minutes(self) -> float | None:
        known = [took for cell in self._used.values() if (took := minutes_of(cell)) is not None]
        return sum(known) if known else None


def _not_run(selection: Selection) -> str:
    """Which cell is missing."""
    wanted = {
        "model": selection.model,
        "hardware": "/".join(selection.hardware or ()),
        "bandwidth": selection.bandwidth,
    }
    told = "".join(f", {key} {value}" for key, value in wanted.items() if value)
    return f"not run: experiment={selection.experiment[0]}{told}"


def _taken(rows: Sequence[Row], value: Value, take: str) -> Found | None:
    """One value for all rows, and the cut where it was found; a mean is nowhere."""
    known = [(ms, row.key.split) for row in rows if (ms := value(row)) is not None]
    if not known:
        return None
    if take == "mean":
        return fmean(ms for ms, _ in known), f"mean of {len(known)}"
    ms, cut = (min if take == "least" else max)(known, key=lambda pair: pair[0])
    return ms, "" if cut is None else f"cut {cut}"
