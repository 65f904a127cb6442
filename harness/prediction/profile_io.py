"""Profiles on disk: JSON, each file whole or not at all, and refused in one line where anything in it is wrong."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.errors import SpecError
from harness.prediction.profile import PROFILE_VERSION, Calibration, CutRecord, ModelFeatures, Table, TierProfile
from harness.results.records import write_atomic
from harness.results.schema import Key
from harness.transfer import pictures
from harness.transfer.encoding import Encoding

Record = TypeVar("Record")

_CODEC_TERMS = {"device": ("serialize", "device_tl"), "edge": ("deserialize", "edge_tl")}
#: Terms that an anchor of a candidate must have for a fit.
_ANCHOR_TERMS = {
    "device-only": ("device",),
    "edge-only": ("serialize", "deserialize", "edge"),
    "split": ("device", "serialize", "deserialize", "edge"),
}


def save(path: Path, record: TierProfile | Calibration | ModelFeatures) -> None:
    """Write a profile whole or not at all."""
    write_whole(path, as_plain(record))


def load_tier(path: Path) -> TierProfile:
    """Read a tier's profile. Raises SpecError for a truncated, foreign or impossible one."""
    return _load(path, TierProfile, check_tier)


def load_calibration(path: Path) -> Calibration:
    """Read a calibration. Raises SpecError as `load_tier` does."""
    return _load(path, Calibration, check_calibration)


def load_features(path: Path) -> ModelFeatures:
    """Read what a model is. Raises SpecError as `load_tier` does."""
    return _load(path, ModelFeatures, _check_features)


def _load(path: Path, kind: type[Record], check: Callable[[Record], None]) -> Record:
    try:
        record: Record = _checked(kind, check, read(path))  # type: ignore[arg-type]
    except (ValueError, SpecError) as error:
        why = " ".join(str(error).split())
        raise SpecError(
            f"the profile {path.name} cannot be used: {why}; delete it or run mode=profile profile.refresh=true"
        ) from error
    return record


@lru_cache(maxsize=16)  # by content: a cell looks at its profiles several times, and nobody changes a record
def _checked(kind: type[Record], check: Callable[[Record], None], content: bytes) -> Record:
    record = parse(kind, content, PROFILE_VERSION)
    check(record)
    return record


# -- JSON -----------------------------------------------------------------------------------------------


def as_plain(record: Any) -> dict[str, Any]:
    """A record as JSON takes it. `payload_bytes` is left out where nothing is in it, so that a profile without such
    formats stays the file that it was before there were any."""
    plain = asdict(record)
    for part in (plain, plain.get("device"), plain.get("edge")):
        if isinstance(part, dict) and part.get("payload_bytes") == {}:
            del part["payload_bytes"]
    return plain


def write_whole(path: Path, record: dict[str, Any]) -> None:
    """JSON on disk, whole or not at all."""
    write_atomic(path, json.dumps(record, indent=1))


def read(path: Path) -> bytes:
    """The bytes of a file. Raises ValueError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def parse(kind: type[Record], content: bytes, version: int) -> Record:
    """A record from JSON: every key known, every value of its own type, in range and finite.

    Raises:
        ValueError: one line, for the first thing that is wrong; another version first.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({' '.join(str(error).split())})") from error
    given = data.get("schema_version") if isinstance(data, dict) else None
    if given != version or isinstance(given, bool):
        raise ValueError(f"schema_version {given!r}, this harness reads {version}")
    try:
        adapter = TypeAdapter(kind)  # some ms; a file is read once
        record: Record = adapter.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        shown = repr(first["input"])
        shown = f", got {shown if len(shown) <= 40 else shown[:39] + '…'}" if first["type"] != "missing" else ""
        raise ValueError(f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}") from error
    return record


# -- what types alone do not say ------------------------------------------------------------------------


def check_tier(profile: TierProfile) -> None:
    """Raise ValueError for a profile whose parts do not fit together."""
    if profile.tier not in _CODEC_TERMS:
        raise ValueError(f"tier {profile.tier!r}; allowed: device, edge")
    check_graph(profile.cuts, profile.last, profile.picture_bytes)
    _check_lengths(
        profile,
        (
            ("block_ms", 1),
            ("block_low_ms", 1),
            ("block_high_ms", 1),
            ("block_features", 1),
            ("head_peak_bytes", 0),
        ),
    )
    theirs = sum(cut.scission_cut for cut in profile.cuts)
    for name in ("scission_block_ms", "eager_scission_block_ms"):
        length = len(getattr(profile, name))
        if length != theirs + 1 and (length or name == "scission_block_ms"):
            raise ValueError(f"{length} entries in {name} for {theirs} cuts of Scission's, not {theirs + 1}")
    for low, middle, high in zip(profile.block_low_ms, profile.block_ms, profile.block_high_ms, strict=True):
        if not low <= middle <= high:
            raise ValueError(f"a block's median of {middle} ms lies outside its interval {low} to {high} ms")
    if not sum(profile.block_ms) > 0:
        raise ValueError("no block takes any time")
    _check_codecs(profile)


def _check_features(record: ModelFeatures) -> None:
    check_graph(record.cuts, record.last, record.picture_bytes)
    _check_lengths(record, (("block_features", 1), ("head_peak_bytes", 0)))


def _check_lengths(record: TierProfile | ModelFeatures, more_than_cuts: Sequence[tuple[str, int]]) -> None:
    """Raise ValueError where a field does not have as many entries as there are cuts, and so many more."""
    cuts = len(record.cuts)
    for name, more in more_than_cuts:
        length = len(getattr(record, name))
        if length != cuts + more:
            raise ValueError(f"{length} entries in {name} for {cuts} cuts, not {cuts + more}")


def check_graph(cuts: Sequence[CutRecord], last: int, picture_bytes: dict[str, int]) -> None:
    """Raise ValueError for cuts that no model can have."""
    indices = [0, *(cut.index for cut in cuts), last]
    if any(left >= right for left, right in itertools.pairwise(indices)):
        raise ValueError(f"cuts do not ascend from 1 to below the last layer {last}")
    missing = [name for name in pictures.names() if name not in picture_bytes]
    if missing:
        raise ValueError(f"picture_bytes lacks {', '.join(missing)}")


def _check_codecs(profile: TierProfile) -> None:
    _check_keys(profile.codec_ms, {cut.index for cut in profile.cuts})
    own, shrinking = _CODEC_TERMS[profile.tier]
    for text, terms in profile.codec_ms.items():
        needed = (own,) if Key.parse(text).transfer_layer == "none" else (own, shrinking)
        if any(term not in terms for term in needed):
            raise ValueError(f"codec_ms of {text} lacks {' or '.join(needed)}")
    wanted = [str(Key("edge-only", None, "none", name)) for name in pictures.names()]
    sized: list[str] = []
    for text in timed_encodings(profile):
        encoding = Encoding.parse(text)
        keys = [str(encoding.key(cut.index)) for cut in profile.cuts if not encoding.infeasible_because(cut.shape)]
        wanted += keys
        sized += keys if encoding.content_dependent and profile.tier == "device" else []
    _require_keys("codec_ms", profile.codec_ms, wanted)
    _require_keys("payload_bytes", profile.payload_bytes, sized)


def _require_keys(name: str, table: Mapping[str, object], wanted: Sequence[str]) -> None:
    missing = [text for text in wanted if text not in table]
    if missing:
        raise ValueError(f"{name} lacks {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))


def timed_encodings(profile: TierProfile) -> list[str]:
    """The encodings that a profile says it has timed (`str(Encoding)`; of float32 the transfer layer alone). Raises
    ValueError where that is no list of texts."""
    names = profile.fingerprint.get("transfer_layers", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"fingerprint.transfer_layers is {names!r}; allowed: a list of names")
    return names


def check_calibration(record: Calibration) -> None:
    """Raise ValueError for a calibration from which nothing can be fitted."""
    _check_keys(record.anchors, None)
    kinds = set()
    for text, terms in record.anchors.items():
        kind = Key.parse(text).candidate
        kinds.add(kind)
        for term in _ANCHOR_TERMS[kind]:
            if term not in terms:
                raise ValueError(f"anchors.{text} lacks {term}")
            if term in ("device", "edge") and terms[term] <= 0:
                raise ValueError(f"anchors.{text}.{term} is {terms[term]} ms; allowed: above 0")
    wanted = ["device-only", *(str(Key("edge-only", None, "none", name)) for name in pictures.names())]
    missing = [text for text in wanted if text not in record.anchors]
    if missing or "split" not in kinds:
        raise ValueError(f"anchors lack {', '.join(missing) or 'any split'}")
    if not record.echoes:
        raise ValueError("echoes are empty")
    for size, terms in record.echoes.items():
        if terms.keys() != {"uplink_excess", "queue"}:
            raise ValueError(f"echoes.{size} has {', '.join(sorted(terms))}, not queue and uplink_excess")


def _check_keys(table: Table, cuts: set[int] | None) -> None:
    for text in table:
        key = Key.parse(text)
        if key.candidate not in _ANCHOR_TERMS or str(key) != text:
            raise ValueError(f"not a candidate key: {text!r}")
        if key.split is not None:
            try:
                Encoding.parse(f"{key.transfer_layer}/{key.wire_format}")
            except SpecError as error:
                raise ValueError(f"not a candidate key: {text!r}: {error}") from error
        if cuts is not None and key.split is not None and key.split not in cuts:
            raise ValueError(f"{text} is at no cut")
