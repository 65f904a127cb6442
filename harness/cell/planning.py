"""What a run or a sweep would do, before it does it (`mode=plan`): cells, what is cached, how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.cell.cache import ProfileCache
from harness.cell.durations import Estimate, estimate, known, profiled, shape_of
from harness.spec import Spec

#: A plan is of the main job; what the same cells cost without a verdict is the same.
_PLANNED = "validate"


@dataclass(frozen=True)
class PlannedCell:
    """One cell to come.

    profiled: whether its profiles are cached, or an earlier cell of the same sweep will have made them.
    """

    spec: Spec
    profiled: bool
    estimate: Estimate

    @property
    def label(self) -> str:
        """The cell in words, for its line of the plan."""
        spec = self.spec
        uplink = f"{spec.bandwidth:g} Mbit/s" if spec.link.name == "static" else f"link {spec.link.name}"
        return f"{spec.model.name}, {spec.hardware.name}, {uplink}, {spec.latency:g} ms, seed {spec.seed}"


def plan(specs: Sequence[Spec]) -> list[PlannedCell]:
    """The cells in the order in which they would run. Nothing is started or written.

    Raises:
        SpecError: a cached profile is broken.
    """
    made: set[str] = set()
    cells = []
    for given in specs:
        spec = given.model_copy(update={"mode": _PLANNED})
        content = repr(sorted(ProfileCache(spec).paths.items())) if spec.hardware.kind != "recorded" else ""
        cached = profiled(spec) or (content in made and not spec.profile.refresh)
        made.add(content)
        found = estimate(shape_of(spec, profiled=cached), known(spec.profile_dir))
        cells.append(PlannedCell(spec, cached, found))
    return cells


def lines(cells: Sequence[PlannedCell], numbers: Sequence[int] | None = None) -> list[str]:
    """The plan as text, at most 100 columns wide; cells by their `numbers`, 0, 1, … unless told."""
    shown = [f"{'#':>4}  {'cell':<62} {'profile':<9} {'about':>9}"]
    for number, cell in zip(numbers or range(len(cells)), cells, strict=True):
        seconds = cell.estimate.seconds
        about = "unknown" if seconds is None else f"{seconds / 60:.1f} min{'' if cell.estimate.alike else ' ?'}"
        shown.append(f"{number:>4}  {cell.label[:62]:<62} {'cached' if cell.profiled else 'to make':<9} {about:>9}")
    seconds_known = [cell.estimate.seconds for cell in cells if cell.estimate.seconds is not None]
    unknown = len(cells) - len(seconds_known)
    total = f"{len(cells)} cell{'s' if len(cells) != 1 else ''}, one after the other on this host"
    if seconds_known:
        total += f": about {sum(seconds_known) / 60:.0f} min"
    if unknown:
        total += f"; {unknown} of a kind that never ran here: their time is unknown"
    if any(not cell.estimate.alike for cell in cells):
        total += "; ? from cells of other models or settings"
    return [*shown, total]
