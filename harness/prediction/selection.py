"""Which cuts are anchors, and which candidates are measured (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.errors import SpecError
from harness.prediction.blocks import fine_cumulative_ms
from harness.prediction.profile import TierProfile
from harness.results.schema import Key, Row
from harness.transfer import pictures
from harness.transfer.encoding import Encoding

#: Original Scission.
PLAIN = Encoding("none")


def anchor_keys(profile: TierProfile, *, count: int, encoding: Encoding, avoid: Sequence[int]) -> list[Key]:
    """What is run whole to calibrate: the model on each tier, and heads and tails at `count` + 2 cuts.

    The cuts lie evenly in the device's compute time and are none of `avoid` (cuts that will be measured for
    certain): what is predicted is not what was fitted. The first and the last possible one are among them all the
    same, as baselines are: before the first there is nothing to interpolate from, and a head of one cheap layer
    costs what its call costs in a request, which no block that is run in a loop shows.
    """
    possible = _possible(profile, encoding)
    if not possible:  # a network of vectors alone
        encoding, possible = PLAIN, [cut.index for cut in profile.cuts]
    time_ms = fine_cumulative_ms(profile)
    position = {cut.index: place for place, cut in enumerate(profile.cuts)}
    free = [index for index in possible if index not in avoid] or possible
    wanted = np.linspace(0, time_ms[position[free[-1]]], count + 2)
    chosen = {min(free, key=lambda index: abs(float(time_ms[position[index]]) - float(at))) for at in wanted}
    chosen |= {possible[0], possible[-1]}
    keys = [Key("device-only"), *(Key("edge-only", None, "none", name) for name in pictures.names())]
    keys += [encoding.key(index) for index in sorted(chosen)]
    last = profile.cuts[-1].index
    if last not in possible:  # a network that ends in dense layers: its last tails are nothing like the others
        keys.append(PLAIN.key(last))
    return keys


def measured_keys(
    rows: Sequence[Row],
    *,
    splits: str | Sequence[int],
    spread: int,
    encodings: Sequence[Encoding],
    landmarks: Sequence[int],
    landmarks_none: bool,
    baselines: bool,
    best: Sequence[Key],
    anchors: Sequence[Key],
) -> list[Key]:
    """The candidates that a cell measures, in the order of `rows`.

    Args:
        rows: every candidate.
        splits: `spread`, `all`, `scission`, or Keras indices.
        spread: how many cuts `spread` takes, evenly by position; it steps aside for an anchor.
        encodings: measured at every chosen cut.
        landmarks: always measured.
        landmarks_none: measure them also without transfer layer in float32, and the best cuts of all other encodings.
        best: the predicted best of each encoding, always measured.

    Raises:
        SpecError: `splits` names an index that is no cut.
    """
    by_cut: dict[int, list[Row]] = {}
    for row in rows:
        if row.key.split is not None and row.payload_bytes is not None:
            by_cut.setdefault(row.key.split, []).append(row)
    chosen = _chosen_cuts(by_cut, splits, spread, encodings, {key.split for key in anchors})
    keys = {encoding.key(index) for index in [*chosen, *landmarks] for encoding in encodings}
    if landmarks_none:
        keys |= {PLAIN.key(index) for index in landmarks}
    keys |= {key for key in best if Encoding.of(key) in encodings or landmarks_none}
    if baselines:
        keys |= {row.key for row in rows if row.key.candidate != "split"}
    return [row.key for row in rows if row.key in keys and (row.payload_bytes is not None or row.key.split is None)]


def _chosen_cuts(
    by_cut: dict[int, list[Row]],
    splits: str | Sequence[int],
    spread: int,
    encodings: Sequence[Encoding],
    anchors: set[int | None],
) -> list[int]:
    if not by_cut:  # a device without an edge
        return []
    if not isinstance(splits, str):
        require_cuts(splits, list(by_cut))
        return list(splits)
    possible = [
        index for index, own in by_cut.items() if {Encoding.of(row.key) for row in own} >= set(encodings)
    ] or list(by_cut)
    if splits == "all":
        return list(by_cut)
    if splits == "scission":
        return [index for index, own in by_cut.items() if own[0].scission_cut]
    places = np.linspace(0, len(possible) - 1, min(spread, len(possible))).round().astype(int)
    chosen: list[int] = []
    for place in places:
        chosen.append(_aside(possible, int(place), anchors | set(chosen)))  # two never step onto the same cut
    return chosen


def require_cuts(splits: Sequence[int], cuts: Sequence[int]) -> None:
    """Raise SpecError, naming the nearest cut, where one of `splits` is none."""
    for index in splits:
        if index not in cuts:
            near = min(cuts, key=lambda cut: abs(cut - index))
            raise SpecError(
                f"measure.splits: {index} is no cut of this model (more than one tensor crosses there, or no layer "
                f"has that index); allowed: a list of cuts as in splits.csv; the nearest is {near}"
            )


def _aside(possible: list[int], place: int, taken: set[int | None]) -> int:
    """The cut at `place`, or its nearest neighbour that is not taken."""
    ordered = sorted(range(len(possible)), key=lambda other: (abs(other - place), other))
    return next((possible[other] for other in ordered if possible[other] not in taken), possible[place])


def _possible(profile: TierProfile, encoding: Encoding) -> list[int]:
    return [cut.index for cut in profile.cuts if encoding.infeasible_because(cut.shape) is None]
