"""Profiles as data: what each tier costs, and what the server adds on an empty request.

A profile is made once per tier, host and model, kept on disk by content, and read for any link and any partner.
Its numbers are this host's own: the pace of an emulated board is applied when predicting.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import SpecError
from harness.results.schema import Key

PROFILE_VERSION = 1


@dataclass(frozen=True)
class CutRecord:
    """A cut as a profile knows it: Keras index, layer name, shape without batch axis, and whether it is theirs."""

    index: int
    layer: str
    shape: tuple[int, ...]
    scission_cut: bool


@dataclass(frozen=True)
class TierProfile:
    """What one tier costs. Medians in ms.

    block_ms: one entry a cut, then one for the rest: layers between consecutive cuts, run one by one.
    scission_block_ms: the same between consecutive `scission_cut`s.
    codec_ms: by candidate key, what its transfer layer and wire format cost on this tier, by term.
    """

    tier: str
    fingerprint: dict[str, Any]
    cuts: tuple[CutRecord, ...]
    last: int
    input_shape: tuple[int, ...]
    picture_bytes: dict[str, int]
    block_ms: tuple[float, ...]
    scission_block_ms: tuple[float, ...]
    codec_ms: dict[str, dict[str, float]]
    schema_version: int = PROFILE_VERSION


@dataclass(frozen=True)
class Calibration:
    """Whole heads and tails at anchor cuts, and what gRPC and the server add to the link's own time. Medians in ms.

    anchors: by candidate key, the terms of both tiers as a request of that candidate has them, run without its
        payload on the link; the device's own, before the pace of an emulated board.
    echoes: by payload bytes, `uplink_excess` (above the link theory) and `queue` of requests without compute;
        at 1 byte, of the anchors' own messages.
    downlink_excess_ms, other_ms: of the anchors, whose answers come after the edge has computed.
    compute_spread, network_spread_ms: scatter of the anchors' compute (relative) and of the echoes' network time:
        one standard error of a median each.
    link: that the messages crossed, as asked for.
    """

    fingerprint: dict[str, Any]
    anchors: dict[str, dict[str, float]]
    echoes: dict[int, dict[str, float]]
    downlink_excess_ms: float
    other_ms: float
    response_bytes: int
    compute_spread: float
    network_spread_ms: float
    link: dict[str, Any]
    schema_version: int = PROFILE_VERSION


@dataclass(frozen=True)
class Profiles:
    """Everything a forecast needs."""

    device: TierProfile
    edge: TierProfile
    calibration: Calibration


def save(path: Path, record: TierProfile | Calibration) -> None:
    """Write a profile whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tier(path: Path) -> TierProfile:
    """Read a tier's profile. Raises SpecError for a truncated, foreign or non-finite one."""
    data = _read(path)
    try:
        profile = TierProfile(
            **{
                **data,
                "cuts": tuple(CutRecord(**{**cut, "shape": tuple(cut["shape"])}) for cut in data["cuts"]),
                "input_shape": tuple(data["input_shape"]),
                "block_ms": tuple(data["block_ms"]),
                "scission_block_ms": tuple(data["scission_block_ms"]),
            }
        )
        for text in profile.codec_ms:
            Key.parse(text)
        numbers = [*profile.block_ms, *profile.scission_block_ms]
        numbers += [ms for terms in profile.codec_ms.values() for ms in terms.values()]
        _check_finite(path, numbers)
        if len(profile.block_ms) != len(profile.cuts) + 1:
            raise ValueError(f"{len(profile.block_ms)} blocks for {len(profile.cuts)} cuts")
        theirs = sum(cut.scission_cut for cut in profile.cuts)
        if len(profile.scission_block_ms) != theirs + 1:
            raise ValueError(f"{len(profile.scission_block_ms)} Scission blocks for {theirs} of its cuts")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, str(error)) from error
    return profile


def load_calibration(path: Path) -> Calibration:
    """Read a calibration. Raises SpecError as `load_tier` does."""
    data = _read(path)
    try:
        record = Calibration(**{**data, "echoes": {int(size): terms for size, terms in data["echoes"].items()}})
        for text in record.anchors:
            Key.parse(text)
        tables = [*record.anchors.values(), *record.echoes.values()]
        numbers = [ms for terms in tables for ms in terms.values()]
        _check_finite(
            path,
            [*numbers, record.downlink_excess_ms, record.other_ms, record.compute_spread, record.network_spread_ms],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, str(error)) from error
    return record


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(data, dict) or data.get("schema_version") != PROFILE_VERSION:
        version = data.get("schema_version") if isinstance(data, dict) else None
        raise _broken(path, f"schema_version {version!r}, this harness reads {PROFILE_VERSION}")
    return data


def _check_finite(path: Path, numbers: list[float]) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise _broken(path, "a time that is not a finite number")


def _broken(path: Path, why: str) -> SpecError:
    return SpecError(
        f"the profile {path.name} cannot be used: {why}; delete it or run mode=profile profile.refresh=true"
    )
