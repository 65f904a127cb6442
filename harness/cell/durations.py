"""How long cells take on this host: `durations.jsonl` beside the profiles, and what it says of cells to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from harness.cell import hostlog
from harness.cell.cache import ProfileCache
from harness.spec import Spec

FILE = "durations.jsonl"
_LATEST = 200


@dataclass(frozen=True)
class Duration:
    """What one cell took.

    profiled: whether the cache had its profiles. rounds: requests per candidate, warm-up included.
    """

    model: str
    hardware: str
    mode: str
    profiled: bool
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What a cell will take. seconds: None where nothing like it ran here. alike: whether cells of the same kind did,
    or only others of the same mode."""

    seconds: float | None
    alike: bool = True


def shape_of(spec: Spec, *, profiled: bool) -> Duration:
    """A cell that took no time yet."""
    rounds = spec.measure.samples + spec.measure.warmup if spec.mode in ("validate", "measure") else 1
    return Duration(spec.model.name, spec.hardware.name, spec.mode, profiled, rounds, 0.0)


def profiled(spec: Spec) -> bool:
    """Whether the cache has what this cell would profile. Recorded hardware is never profiled."""
    if spec.hardware.kind == "recorded":
        return True
    return not spec.profile.refresh and ProfileCache(spec).tiers() is not None


def append(spec: Spec, duration: Duration) -> None:
    """Note what a finished cell took."""
    hostlog.append(spec.profile_dir / FILE, asdict(duration))


def known(folder: Path) -> list[Duration]:
    """What the latest cells took on this host; damaged lines and other hosts' do not count."""
    names = [field.name for field in fields(Duration)]
    found = []
    for line in hostlog.of_this_host(folder / FILE):
        if line.keys() >= set(names):
            found.append(Duration(**{name: line[name] for name in names}))
    return found[-_LATEST:]


def estimate(wanted: Duration, durations: Sequence[Duration]) -> Estimate:
    """The median over cells like the wanted one, in proportion to their rounds; over others of its mode where none was.

    Pure.
    """
    mode = [each for each in durations if each.mode == wanted.mode]
    own = [each for each in mode if (each.model, each.hardware) == (wanted.model, wanted.hardware)]
    alike = [each for each in own if each.profiled == wanted.profiled]
    for group in (alike, own, [each for each in mode if each.profiled == wanted.profiled], mode):
        if group:
            seconds = median(each.seconds * wanted.rounds / each.rounds for each in group)
            return Estimate(seconds, alike=group is alike)
    return Estimate(None)
