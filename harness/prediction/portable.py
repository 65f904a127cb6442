"""One file that holds everything a forecast needs, to be carried to another host.

`python run.py mode=predict profile.export=FILE` (or mode=profile, validate, measure) writes it,
`python run.py mode=predict profile.file=FILE` predicts from it: neither imports TensorFlow. JSON, UTF-8:

    format          "scissionlite-profiles"
    schema_version  of the whole file and of each record in it; another version is refused
    model           its name in the zoo
    content         what decides its cost: architecture, input size, weights (harness.dnn.zoo.content_key)
    hosts           by tier, the host that was profiled: name, processor, cores, kernel
    device, edge    a `TierProfile` each
    calibration     a `Calibration`, of this very pair

The fields of the records are documented where they are declared (harness.prediction.profile). All times are
medians in ms, all sizes in bytes. A file is refused, in one line, for an unknown or missing key, a value of
another type, a time that is negative or not finite, lengths that do not fit the cuts, tiers of different models,
and parts that belong to another host or pair than the file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from harness.errors import SpecError
from harness.prediction.profile import PROFILE_VERSION, STRICT, Calibration, Profiles, Text, TierProfile
from harness.prediction.profile_io import (
    as_plain,
    check_calibration,
    check_tier,
    parse,
    read,
    timed_encodings,
    write_whole,
)
from harness.results.schema import Key


@dataclass(frozen=True)
class ProfileFile:
    """The file, see above."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    format: Literal["scissionlite-profiles"]
    model: Text
    content: Text
    hosts: dict[Literal["device", "edge"], Text]
    device: TierProfile
    edge: TierProfile
    calibration: Calibration
    schema_version: int = PROFILE_VERSION


def export_profiles(path: Path, profiles: Profiles) -> None:
    """Write profiles to one file, whole or not at all. Raises SpecError where they are not of one pair."""
    device, edge = profiles.device.fingerprint, profiles.edge.fingerprint
    record = ProfileFile(
        format="scissionlite-profiles",
        model=str(device.get("model")),
        content=str(device.get("content")),
        hosts={"device": str(device.get("host")), "edge": str(edge.get("host"))},
        device=profiles.device,
        edge=profiles.edge,
        calibration=profiles.calibration,
    )
    try:
        _check(record)
    except ValueError as error:
        raise SpecError(f"profile.export={path}: these profiles cannot be exported: {error}") from error
    try:
        write_whole(path, as_plain(record))
    except OSError as error:
        raise SpecError(f"profile.export={path}: it cannot be written ({error.strerror}); give another file") from error


def import_profiles(path: Path, *, model: str, content: str | None, encodings: Sequence[str]) -> Profiles:
    """Read an exported file.

    Args:
        model, content: of the cell, which must be the file's; content None: whatever weights the file's model has.
        encodings: that the cell ranks (`str(Encoding)`); the file must have timed them.

    Raises:
        SpecError: one line, for the first thing that is wrong.
    """
    try:
        record = parse(ProfileFile, read(path), PROFILE_VERSION)
        _check(record)
        if record.model != model or content not in (None, record.content):
            raise ValueError(f"it holds {record.model} ({record.content}), not {model} ({content})")
        for name in encodings:
            if any(name not in timed_encodings(tier) for tier in (record.device, record.edge)):
                raise ValueError(f"it has no times of transfer_layer={name}")
    except (ValueError, SpecError) as error:
        why = " ".join(str(error).split())
        raise SpecError(
            f"profile.file={path} cannot be used: {why}; allowed: a file that profile.export wrote for this model"
        ) from error
    return Profiles(record.device, record.edge, record.calibration)


def _check(record: ProfileFile) -> None:
    """Raise ValueError where the parts do not belong together."""
    tiers: tuple[tuple[Literal["device", "edge"], TierProfile], ...] = (
        ("device", record.device),
        ("edge", record.edge),
    )
    for tier, profile in tiers:
        _check_version(profile.schema_version)
        if profile.tier != tier:
            raise ValueError(f"its {tier} is a profile of the {profile.tier}")
        check_tier(profile)
        said = {"model": record.model, "content": record.content, "host": record.hosts.get(tier)}
        for name, value in said.items():
            if profile.fingerprint.get(name) != value:
                raise ValueError(f"its {tier} belongs to {name} {profile.fingerprint.get(name)!r}, not {value!r}")
        if record.calibration.fingerprint.get(tier) != profile.fingerprint:
            raise ValueError(f"its calibration belongs to another {tier} than its profile of the {tier}")
    device, edge = record.device, record.edge
    if (device.cuts, device.last, device.input_shape) != (edge.cuts, edge.last, edge.input_shape):
        raise ValueError("its device and its edge have different cuts")
    _check_version(record.calibration.schema_version)
    check_calibration(record.calibration)
    cuts = {cut.index for cut in device.cuts}
    for text in record.calibration.anchors:
        split = Key.parse(text).split
        if split is not None and split not in cuts:
            raise ValueError(f"its anchor {text} is at no cut")


def _check_version(version: int) -> None:
    if version != PROFILE_VERSION:
        raise ValueError(f"schema_version {version!r} of a record in it, this harness reads {PROFILE_VERSION}")
