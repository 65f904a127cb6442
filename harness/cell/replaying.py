"""A cell of which a tier is replayed: where its recordings come from, and what of it is still to be measured.

A replayed tier is not profiled, it is its own profile. What remains is the other tier, if that one computes on this
host, and what gRPC, the server and the link add.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.cell import encodings
from harness.cell.cache import model_spec
from harness.cell.library import model_features
from harness.dnn import zoo
from harness.errors import SpecError
from harness.prediction.candidates import enumerate_rows
from harness.prediction.portable import import_profiles
from harness.prediction.profile import CutRecord, TierProfile
from harness.prediction.recorded_pair import TF_EAGER, load_pair, load_single
from harness.prediction.recorded_replay import (
    common_cuts,
    profile_of,
    recorded_sizes,
    recordings_from,
    recordings_of,
)
from harness.prediction.recording import Recording, restricted
from harness.results.schema import Key
from harness.spec import Spec
from harness.spec.fields import from_project
from harness.transfer.encoding import Encoding

#: The `system` of a tier that a file of `profile.export` holds.
EXPORTED = "exported"


@dataclass(frozen=True)
class Replay:
    """What a cell replays.

    recordings: by replayed tier.
    profiles: of the same tiers, as `Profiles` has them.
    sizes: bytes of the tensor at each cut, where shapes were not recorded.
    """

    recordings: dict[str, Recording]
    profiles: dict[str, TierProfile]
    sizes: dict[int, int]

    def plans(self, slowdown: float) -> dict[str, dict[str, Any]]:
        """By tier, what the process that replays it is told."""
        return {tier: own.plan(slowdown if tier == "device" else 1.0) for tier, own in self.recordings.items()}

    def beside(self, cuts: Sequence[CutRecord], last: int, pictures: Mapping[str, int]) -> Replay:
        """The same beside a tier that computes: the cuts that both know, with the tensors of today's model.

        Raises:
            SpecError: the recording has another table of layers.
        """
        (tier, recording), *_ = self.recordings.items()
        if recording.last != last:
            raise SpecError(
                f"hardware: {recording.system} was recorded with {recording.last + 1} layers, this Keras has "
                f"{last + 1}, so that its cuts cannot be put together with a tier of this host; allowed: recordings on "
                "both tiers"
            )
        kept = common_cuts(recording, cuts, self.sizes)
        terms = {text: own for text, own in recording.terms_ms.items() if Key.parse(text).split in (None, *kept)}
        by_index = {cut.index: cut for cut in cuts}
        profile = replace(
            restricted(self.profiles[tier], kept),
            cuts=tuple(by_index[index] for index in kept),
            picture_bytes=dict(pictures),
        )
        own = replace(recording, terms_ms=terms, cuts=tuple(kept), payload_bytes={})
        return Replay({tier: with_payloads(own, profile)}, {tier: profile}, {})


def with_payloads(recording: Recording, profile: TierProfile) -> Recording:
    """A recording that knows the bytes of every tensor that it sends, from the shapes in a profile."""
    keys = [Key.parse(text) for text in recording.terms_ms]
    encodings = sorted({Encoding.of(key) for key in keys if key.split is not None})
    rows = enumerate_rows(profile, encodings=encodings, min_split=0)
    sizes = {str(row.key): row.payload_bytes for row in rows if recording.covers(row.key)}
    return replace(recording, payload_bytes={key: size for key, size in sizes.items() if size is not None})


def read(spec: Spec) -> Replay:
    """The recordings that a cell names; nothing is started.

    Raises:
        SpecError: none is named, they cannot be read, or nobody recorded that model on that system.
    """
    path = recorded_path(spec)
    if path.is_file():
        return _of_file(spec, path)
    hardware, shape = spec.hardware, spec.model.input_shape
    runtime = hardware.edge.runtime or TF_EAGER
    replayed = hardware.replayed
    single = len(replayed) == 1 and hardware.has_edge
    if single:
        ((tier, system),) = replayed.items()
        pair = load_single(path, spec.model.name, tier=tier, system=system, runtime=runtime)
    else:
        pair = load_pair(path, spec.model.name, device=replayed["device"], edge=replayed.get("edge"), runtime=runtime)
    recordings = {tier: own for tier, own in recordings_of(pair, input_shape=shape).items() if tier in replayed}
    profiles = {tier: profile_of(pair, own, input_shape=shape) for tier, own in recordings.items()}
    if single or not hardware.has_edge:
        return Replay(recordings, profiles, recorded_sizes(pair))
    cuts = recordings["device"].cuts  # under Triton not every block has its suffix
    return Replay(recordings, {tier: restricted(own, cuts) for tier, own in profiles.items()}, {})


def _of_file(spec: Spec, path: Path) -> Replay:
    """Profiles of ours that another host exported: what that host takes, replayed here.

    Raises:
        SpecError: the hardware names other recordings; or the file is none, or of another model.
    """
    named = [system for system in spec.hardware.replayed.values() if system != EXPORTED]
    if named:
        raise SpecError(
            f"hardware.profiles={spec.hardware.profiles} is a file, and hardware={spec.hardware.name} names the "
            f"recording {named[0]}, which is in a folder; allowed: the folder, or hardware=replay with this file"
        )
    profiles = import_profiles(
        path,
        model=spec.model.name,
        content=zoo.content_key(model_spec(spec)),
        encodings=[str(encoding) for encoding in encodings.ranked(spec)],
    )
    source = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    tiers = {"device": profiles.device, "edge": profiles.edge}
    own = {
        tier: with_payloads(recording, tiers[tier])
        for tier, recording in recordings_from(profiles, source=source).items()
        if tier in spec.hardware.replayed
    }
    return Replay(own, {tier: tiers[tier] for tier in own}, {})


def prepared(spec: Spec) -> tuple[Replay, dict[str, Any]]:
    """What a cell replays, and what must be known of the model before its tiers are loaded.

    A device that only waits cannot say what the model is; beside an edge that computes it has to be known all the
    same, from the profile folder, or from the graph, which is then built once.

    Returns:
        The recordings, and by key what an agent's `load` would have said; empty where the recording is enough.

    Raises:
        SpecError: as `read`; or the recording has another table of layers than this Keras.
    """
    replay = read(spec)
    if "edge" in replay.recordings or not spec.hardware.has_edge:
        return replay, {}
    features = model_features(spec)
    described = {
        "cuts": [asdict(cut) for cut in features.cuts],
        "last": features.last,
        "input_shape": list(features.input_shape),
        "pictures": features.picture_bytes,
        "features": {
            "head_peak_bytes": list(features.head_peak_bytes),
            "blocks": [{kind: asdict(own) for kind, own in block.items()} for block in features.block_features],
        },
    }
    return replay.beside(features.cuts, features.last, features.picture_bytes), described


def edgeless(device: TierProfile) -> TierProfile:
    """What stands for the edge of a device that has none."""
    nothing = (0.0,) * len(device.block_ms)
    return replace(
        device, tier="edge", block_ms=nothing, block_low_ms=nothing, block_high_ms=nothing, scission_block_ms=nothing,
        eager_scission_block_ms=nothing, codec_ms={},
    )  # fmt: skip


def recorded_path(spec: Spec) -> Path:
    """Where the recordings lie. Raises SpecError where none are named."""
    if spec.hardware.profiles is None:
        raise SpecError(
            f"hardware.profiles=null: hardware={spec.hardware.name} needs a folder of recorded profiles; "
            "set hardware.profiles=FOLDER, e.g. a checkout of qub-blesson/ScissionTL, or a file of profile.export"
        )
    return from_project(spec.hardware.profiles).resolve()
