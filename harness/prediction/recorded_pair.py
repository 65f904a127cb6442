"""A device and an edge as the paper's authors recorded them: which file holds what, and whether the two fit together.

A folder of recordings holds `device-SYSTEM.dat` and `edge-SYSTEM.dat` (eager TensorFlow, many models) and, below
`triton/`, `device-SYSTEM-MODEL.dat` (blocks) and `edge-SYSTEM-MODEL.dat` (one whole suffix a split).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.prediction.recorded import LayerBenchmark, read_profiles

TF_EAGER, TRITON = "tf_eager", "triton"


class NotRecorded(SpecError):
    """There are recordings, but none of that model on that system."""


@dataclass(frozen=True)
class RecordedTier:
    """One model's records on one system.

    tier     `device` or `edge`
    system   what it ran on, e.g. `tx2_gpu`
    runtime  `tf_eager` (records are blocks) or, on an edge, `triton` (records are suffixes)
    blocks   consecutive blocks from the input to the last layer; of a suffix recording empty
    suffix_s by the index of the last device layer, the time of all that follows it; of blocks empty
    file     the file's name in its folder
    sha256   of the file's content
    """

    tier: str
    system: str
    runtime: str
    blocks: tuple[LayerBenchmark, ...]
    suffix_s: dict[int, float]
    file: str
    sha256: str


@dataclass(frozen=True)
class RecordedPair:
    """Both tiers of one model; `edge_tf` is the edge's eager recording, the same as `edge` where that is eager.

    Without an edge (the paper's CPU_Device and GPU_Device) both are None.
    """

    model: str
    device: RecordedTier
    edge: RecordedTier | None
    edge_tf: RecordedTier | None

    @property
    def last(self) -> int:
        """Keras index of the last layer."""
        return self.device.blocks[-1].output_layer


def load_pair(folder: Path, model: str, *, device: str, edge: str | None, runtime: str) -> RecordedPair:
    """The recordings of `model` on a device and an edge.

    Args:
        folder: holds the .dat files.
        model: of the zoo; the recordings use the same names.
        device, edge: systems, e.g. `tx2_gpu` and `ampere`; no edge: None.
        runtime: of the edge. With `triton` the device's recording of the same campaign is taken where there is one.

    Raises:
        NotRecorded: nobody recorded that model on that system.
        SpecError: no such folder, a file that is no profile, or two recordings of different layer tables.
    """
    _require_folder(folder)
    if runtime == TRITON and edge is None:
        raise SpecError("hardware.edge.runtime=triton: this hardware has no edge; allowed: a pair with an edge")
    own = _load(folder, "device", device, model, runtime)
    if edge is None:
        return RecordedPair(model, own, None, None)
    served = _load(folder, "edge", edge, model, runtime)
    eager = served if runtime == TF_EAGER else _load(folder, "edge", edge, model, TF_EAGER)
    for other in (served, eager):
        _require_fit(own, other)
    return RecordedPair(model, own, served, eager)


def load_single(folder: Path, model: str, *, tier: str, system: str, runtime: str) -> RecordedPair:
    """One recorded tier, to stand beside one that computes: a pair in which no other tier is meant.

    Args:
        tier: `device` or `edge`. The others as for `load_pair`.

    Raises:
        SpecError: as `load_pair`.
    """
    _require_folder(folder)
    own = _load(folder, tier, system, model, runtime)
    eager = own if own.blocks else _load(folder, tier, system, model, TF_EAGER)
    return RecordedPair(model, eager, own, eager)


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SpecError(
            f"hardware.profiles: no folder at {str(folder)!r}; allowed: a folder of recorded profiles (*.dat), such as "
            "a checkout of qub-blesson/ScissionTL"
        )


def _load(folder: Path, tier: str, system: str, model: str, runtime: str) -> RecordedTier:
    names = {TF_EAGER: f"{tier}-{system}.dat", TRITON: f"{TRITON}/{tier}-{system}-{model}.dat"}
    if tier == "device":  # TensorFlow either way; each campaign recorded some devices of its own
        order = (names[runtime], *(name for name in names.values() if name != names[runtime]))
    else:
        order = (names[runtime],)
    tried: list[str] = []
    for name in order:
        path = folder / name
        if not path.is_file():
            tried.append(f"no {name}")
            continue
        records = read_profiles(path)
        own = tuple(record for record in records if record.model == model)
        if own:
            suffixes = tier == "edge" and runtime == TRITON
            return RecordedTier(
                tier=tier,
                system=system,
                runtime=runtime if tier == "edge" else TF_EAGER,
                blocks=() if suffixes else _consecutive(path, own),
                suffix_s=_suffixes(path, own) if suffixes else {},
                file=name,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        tried.append(f"{name} holds {_shown(sorted({record.model for record in records}))}")
    under = f" under {runtime}" if tier == "edge" else ""
    there = [path for name in order for path in (folder / name).parent.glob(f"{tier}-*.dat")]
    raise NotRecorded(
        f"nobody recorded {model} on {system}{under}: {'; '.join(tried)} in {str(folder)!r}; allowed: what was "
        f"recorded, {_shown(sorted(str(path.relative_to(folder)) for path in there)) or 'which is nothing there'}"
    )


def _consecutive(path: Path, records: tuple[LayerBenchmark, ...]) -> tuple[LayerBenchmark, ...]:
    """The records as they are, if they cover the model once, block after block. Raises SpecError."""
    due = 0
    for record in records:
        if record.input_layer != due:
            raise _broken(path, f"a block of {record.model} starts at layer {record.input_layer}, due is {due}")
        due = record.output_layer + 1
    return records


def _suffixes(path: Path, records: tuple[LayerBenchmark, ...]) -> dict[int, float]:
    ends = {record.output_layer for record in records}
    if len(ends) != 1:
        raise _broken(path, f"suffixes of {records[0].model} end at layers {_shown(sorted(ends))}, due is one")
    found = {record.input_layer - 1: record.compute_s for record in records}
    if len(found) != len(records) or min(found) < 0:
        raise _broken(path, f"two suffixes of {records[0].model} start at the same layer, or one at none")
    return found


def _require_fit(device: RecordedTier, edge: RecordedTier) -> None:
    """Raise SpecError unless both speak of the same layer table."""
    splits = {record.output_layer for record in device.blocks}
    theirs = {record.output_layer for record in edge.blocks} or set(edge.suffix_s)
    odd = theirs - splits if edge.suffix_s else theirs ^ splits
    if odd:
        raise SpecError(
            f"{device.file} and {edge.file} do not fit together: only one of them has a block that ends at layer "
            f"{_shown(sorted(odd))}; allowed: recordings of one model in one version of Keras"
        )


def _broken(path: Path, why: str) -> SpecError:
    return SpecError(f"recorded profile {str(path)!r} cannot be used: {why}; allowed: whole recordings of a model")


def _shown(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:20]))
    return shown if len(values) <= 20 else f"{shown}, …"
