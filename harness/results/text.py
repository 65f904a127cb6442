"""One value as the text of a CSV cell, and back. The only place that knows how `splits.csv` spells things."""

from __future__ import annotations

import math
from typing import Any

_BOOLEANS = {"true": True, "false": False}


def plain(value: Any) -> Any:
    """`value` as the standard library's types: NumPy scalars unpacked, NaN and infinities None, paths text.

    Mappings become dicts with text keys, sequences lists; all of it recursively. JSON and CSV then have one
    spelling for "no value", which is none at all.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, without importing NumPy
        return plain(value.tolist())
    return str(value)


def to_text(value: Any) -> str:
    """A CSV cell: empty for None, `true`/`false`, floats with all the digits that bring them back exactly."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def to_float(text: str) -> float | None:
    """A number, or None for an empty cell; raises ValueError for anything else."""
    return float(text) if text else None


def to_int(text: str) -> int | None:
    """A whole number, or None for an empty cell; raises ValueError for anything else."""
    return int(text) if text else None


def to_bool(text: str) -> bool | None:
    """`true` or `false`, or None for an empty cell; raises ValueError for anything else."""
    if not text:
        return None
    if text not in _BOOLEANS:
        raise ValueError(f"not true or false: {text!r}")
    return _BOOLEANS[text]
