"""Profiles that were made on something else than the cell asks for: what differs, and the nearest there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import SpecError
from harness.prediction.profile import Calibration, TierProfile

Record = TypeVar("Record", TierProfile, Calibration)
#: What no force can bridge: another model has other cuts, the other tier other terms.
_FIXED = ("model", "tier", "profile_version")
#: How well a profile was made, and not of what: no part of what it is valid for.
METHOD = "rounds"


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, list[Any]]:
    """By key (of a part of its own: `device.host`), [what a profile was made on, what the cell has]; not the method."""
    differing: dict[str, list[Any]] = {}
    for key, wanted in expected.items():
        if key == METHOD:
            continue
        given = found.get(key)
        if isinstance(wanted, Mapping) and isinstance(given, Mapping):
            differing |= {f"{key}.{name}": own for name, own in differences(given, wanted).items()}
        elif given != wanted:
            differing[key] = [given, wanted]
    return differing


def nearest(
    folder: Path, pattern: str, expected: Mapping[str, Any], load: Callable[[Path], Record]
) -> tuple[Path, Record, dict[str, list[Any]]] | None:
    """The file whose fingerprint differs in the fewest keys, of several the newest; None where no file could do.

    Args:
        pattern: of the names of files that could.
        expected: the fingerprint that the cell asks for.
        load: reads one; a file that it refuses is passed over.
    """
    usable = []
    for path in folder.glob(pattern):
        try:
            record = load(path)
        except SpecError:
            continue
        differing = differences(record.fingerprint, expected)
        if _bridgeable(record.fingerprint, expected, differing):
            usable.append((len(differing), -path.stat().st_mtime, path, record, differing))
    if not usable:
        return None
    _, _, path, record, differing = min(usable, key=lambda own: own[:2])
    return path, record, differing


def told(differing: Mapping[str, list[Any]]) -> str:
    """The differences in one line."""
    return "; ".join(f"{key} {made!r}, not {wanted!r}" for key, (made, wanted) in differing.items())


def _bridgeable(found: Mapping[str, Any], expected: Mapping[str, Any], differing: Mapping[str, Any]) -> bool:
    if any(key.rpartition(".")[2] in _FIXED for key in differing):
        return False
    pairs = [(found, expected), *((found.get(tier), expected.get(tier)) for tier in ("device", "edge"))]
    return all(_timed(wanted) <= _timed(given) for given, wanted in pairs)


def _timed(fingerprint: object) -> set[str]:
    """The transfer layers that were timed: one that was not cannot be predicted."""
    return set(fingerprint.get("transfer_layers", ())) if isinstance(fingerprint, Mapping) else set()
