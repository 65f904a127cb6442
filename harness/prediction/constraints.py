"""Which candidates the user's constraints rule out, and by how much (pure).

As in the authors' tool, a constraint is a rule on a candidate: where the cut lies, what runs where, what is sent, how
long it takes. Cuts are Keras indices of the last device layer; edge-only is the cut 0 (the picture itself is sent),
device-only the cut at the last layer. Times are those that a prediction has put into the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import SpecError
from harness.prediction.profile import ModelFeatures, TierProfile
from harness.results.schema import DEVICE_TERMS, EDGE_TERMS, Key, Row
from harness.spec.constraints import Constraints, Layer
from harness.spec.fields import nearest

#: What each tier works in one request; the rest of it is the network's.
TIER_WORK = {"device": DEVICE_TERMS, "edge": ("queue", *EDGE_TERMS)}
#: Rules on the cut itself. `splits.csv` holds only splits to them: the baselines are what splits are compared with.
CUT_LIMITS = ("min_split", "max_split")
_LAYER_LISTS = ("device_layers", "edge_layers", "not_device_layers", "not_edge_layers")


@dataclass(frozen=True)
class Facts:
    """What constraints need to know of a model and its tiers.

    last             Keras index of the last layer
    layers           by name, the Keras indices of the layers whose names are known (those that end at a cut)
    head_peak_bytes  by cut, peak memory of the head; empty where nobody knows
    leakage          by cut and transfer layer, what the payload's tensor reveals of the picture; empty: nobody knows
    systems          by tier, the names that it goes by: of its recording, of the hardware, of the host
    """

    last: int
    layers: Mapping[str, int] = field(default_factory=dict)
    head_peak_bytes: Mapping[int, int] = field(default_factory=dict)
    systems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leakage: Mapping[tuple[int, str], float] = field(default_factory=dict)


def model_facts(
    model: TierProfile | ModelFeatures,
    *,
    systems: Mapping[str, tuple[str, ...]],
    head_peak_bytes: Sequence[int] | None = None,
    leakage: Mapping[tuple[int, str], float] | None = None,
) -> Facts:
    """The facts that a profile of either tier knows, or a model's features.

    Args:
        systems: by tier, the names that it goes by.
        head_peak_bytes: one entry a cut, in place of the model's own.
        leakage: as `Facts` has it; None: nobody knows.
    """
    cuts = [cut.index for cut in model.cuts]
    peaks = dict(zip(cuts, model.head_peak_bytes if head_peak_bytes is None else head_peak_bytes, strict=True))
    if peaks:
        # The whole model needs at least what its longest head does; the layers after that are small.
        peaks.setdefault(model.last, peaks[cuts[-1]])
    return Facts(model.last, {cut.layer: cut.index for cut in model.cuts}, peaks, systems, leakage or {})


@dataclass(frozen=True)
class Breach:
    """One constraint that a candidate breaks.

    constraint  its key below `constraints`, e.g. `max_upload_bytes`
    by          by how much, in `unit`: beyond the limit, or layers that the cut would have to move
    unit        `ms`, `bytes`, `fraction`, `layers`, or empty where there is no amount
    share       the same relative to the limit (for a cut, to the model's length), to compare breaches of all kinds
    text        in words
    """

    constraint: str
    by: float
    unit: str
    share: float
    text: str


def judge(rows: Sequence[Row], constraints: Constraints, facts: Facts) -> list[tuple[Breach, ...]]:
    """For each row the constraints that it breaks; none for a row without a prediction, which is no candidate.

    Args:
        rows: with `predicted_ms` or `forecast_ms`, and with terms where a tier's time is limited.

    Raises:
        SpecError: a layer that the model does not have, or a limit on what nobody knows.
    """
    require(constraints, facts)
    low, high = _cut_bounds(constraints, facts)
    rules = list(_rules(constraints, facts))
    return [
        ()
        if latency_ms(row) is None
        else (*_cut_breaches(row, facts, low, high), *(breach for rule in rules if (breach := rule(row)) is not None))
        for row in rows
    ]


def apply(rows: Sequence[Row], breaches: Sequence[tuple[Breach, ...]]) -> None:
    """Set `feasible` and `infeasible_because` of every row that breaks something, in place.

    A split that breaks `min_split` and something else names only the rest: what names `min_split` counts as
    possible as soon as a smaller one is asked for (`harness.validation.estimators.is_split`).
    """
    for row, own in zip(rows, breaches, strict=True):
        held = [each for each in own if row.key.split is not None or each.constraint not in CUT_LIMITS]
        if held:
            other = [each for each in held if each.constraint != "min_split"]
            row.feasible, row.infeasible_because = False, "; ".join(each.text for each in other or held)


def require(constraints: Constraints, facts: Facts) -> None:
    """Raise SpecError for a layer that the model does not have, or a limit on what nobody knows."""
    for name in _LAYER_LISTS:
        _indices(name, getattr(constraints, name), facts)
    if constraints.max_device_memory_bytes is not None and not facts.head_peak_bytes:
        raise SpecError(
            f"constraints.max_device_memory_bytes={constraints.max_device_memory_bytes}: this profile knows no memory; "
            "allowed: null, or hardware that is profiled with mode=profile"
        )
    if constraints.max_leakage is not None and not facts.leakage:
        raise SpecError(
            f"constraints.max_leakage={constraints.max_leakage}: nobody has measured what the cuts of this model "
            "reveal with these transfer layers; allowed: null, or measure it once with: python run.py mode=profile "
            "leakage.enabled=true, and model and transfer_layer as here"
        )


def latency_ms(row: Row) -> float | None:
    """The row's prediction; the forecast where there is no later one."""
    return row.predicted_ms if row.predicted_ms is not None else row.forecast_ms


def work_ms(row: Row, tier: str) -> float:
    """What `tier` works in one request, from the predicted terms."""
    return sum(row.predicted_terms.get(term, 0.0) for term in TIER_WORK[tier])


def upload_bytes(row: Row) -> int:
    """What crosses the uplink; nothing for device-only."""
    return row.payload_bytes or 0


def _cut(key: Key, facts: Facts) -> int:
    if key.split is not None:
        return key.split
    return facts.last if key.candidate == "device-only" else 0


def _indices(name: str, layers: Iterable[Layer], facts: Facts) -> list[int]:
    found = []
    for layer in layers:
        index = facts.layers.get(layer) if isinstance(layer, str) else layer
        if index is None:
            known = (
                f"the {len(facts.layers)} layers that end at a cut, or a Keras index" if facts.layers else "an index"
            )
            raise SpecError(
                f"constraints.{name}: no layer {layer!r} is known by that name; allowed: {known} from 0 to "
                f"{facts.last}{nearest(str(layer), facts.layers)}"
            )
        if index > facts.last:
            raise SpecError(f"constraints.{name}: no layer {index}; allowed: Keras indices from 0 to {facts.last}")
        found.append(index)
    return found


#: A constraint's key and the cut that it asks for.
_Bound = tuple[str, int]


def _cut_bounds(constraints: Constraints, facts: Facts) -> tuple[list[_Bound], list[_Bound]]:
    """The least cuts and the greatest cuts that are asked for."""
    low: list[_Bound] = [("min_split", constraints.min_split)]
    high: list[_Bound] = [] if constraints.max_split is None else [("max_split", constraints.max_split)]
    for name in ("device_layers", "not_edge_layers"):
        low += [(name, max(found)) for found in [_indices(name, getattr(constraints, name), facts)] if found]
    for name in ("edge_layers", "not_device_layers"):
        high += [(name, min(found) - 1) for found in [_indices(name, getattr(constraints, name), facts)] if found]
    return low, high


def _cut_breaches(row: Row, facts: Facts, low: Sequence[_Bound], high: Sequence[_Bound]) -> Iterator[Breach]:
    cut = _cut(row.key, facts)
    for name, least in low:
        if cut < least:
            yield _cut_breach(name, cut, least, "<", facts)
    for name, most in high:
        if cut > most:
            yield _cut_breach(name, cut, most, ">", facts)


def _cut_breach(name: str, cut: int, bound: int, sign: str, facts: Facts) -> Breach:
    by = abs(cut - bound)
    limit = "constraints." + (f"{name} {bound}" if name in CUT_LIMITS else f"{name}, which ask for cut {bound}")
    return Breach(name, by, "layers", by / max(facts.last, 1), f"cut {cut} {sign} {limit}")


_Rule = Callable[[Row], Breach | None]


def _rules(constraints: Constraints, facts: Facts) -> Iterator[_Rule]:
    """Every constraint that is set, but those on the cut, as a function of a row."""
    values: list[tuple[str, str, str, Callable[[Row], float]]] = [
        ("max_upload_bytes", "payload", "bytes", upload_bytes),
        ("max_latency_ms", "latency", "ms", lambda row: latency_ms(row) or 0.0),
        ("max_device_ms", "device time", "ms", lambda row: work_ms(row, "device")),
        ("max_device_share", "device share", "fraction", lambda row: _share(row, "device")),
        ("max_edge_ms", "edge time", "ms", lambda row: work_ms(row, "edge")),
        ("max_edge_share", "edge share", "fraction", lambda row: _share(row, "edge")),
        ("max_device_memory_bytes", "peak memory", "bytes", lambda row: _peak_bytes(row, facts)),
        ("max_leakage", "leakage", "fraction", lambda row: _leakage(row.key, facts)),
    ]
    for name, what, unit, value in values:
        most = getattr(constraints, name)
        if most is not None:
            yield _limit(name, what, unit, value, most)
    for tier in ("device", "edge"):
        wanted = getattr(constraints.tier, tier)
        if wanted is not None and wanted not in facts.systems.get(tier, ()):
            yield _other_system(tier, wanted, facts)


def _limit(name: str, what: str, unit: str, value: Callable[[Row], float], most: float) -> _Rule:
    def rule(row: Row) -> Breach | None:
        return _beyond(name, what, unit, value(row), most)

    return rule


def _other_system(tier: str, wanted: str, facts: Facts) -> _Rule:
    """Broken by every candidate that needs the tier; device-only needs no edge."""
    names = ", ".join(facts.systems.get(tier, ())) or "no named system"
    breach = Breach(f"tier.{tier}", 1.0, "", 1.0, f"the {tier} is {names}, not constraints.tier.{tier} {wanted}")

    def rule(row: Row) -> Breach | None:
        return breach if tier == "device" or row.key.candidate != "device-only" else None

    return rule


def _peak_bytes(row: Row, facts: Facts) -> int:
    return facts.head_peak_bytes.get(_cut(row.key, facts), 0)


def _leakage(key: Key, facts: Facts) -> float:
    """What is sent is at most the picture itself, which counts where nobody knows; device-only sends nothing."""
    if key.split is None:
        return 0.0 if key.candidate == "device-only" else 1.0
    return facts.leakage.get((key.split, key.transfer_layer), 1.0)


def _share(row: Row, tier: str) -> float:
    total = latency_ms(row)
    return work_ms(row, tier) / total if total else 0.0


def _beyond(name: str, what: str, unit: str, value: float, most: float) -> Breach | None:
    if value <= most:
        return None
    shown, limit = (f"{each:.3f}".rstrip("0").rstrip(".") for each in (value, most))
    suffix = {"ms": " ms", "bytes": " B"}.get(unit, "")
    by = value - most
    return Breach(name, by, unit, by / (most or value), f"{what} {shown}{suffix} > constraints.{name} {limit}")
