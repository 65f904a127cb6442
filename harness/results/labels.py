"""Labels: how something of a registry and its parameters are written in a key, a file or on the command line.

    maxpool                                  every parameter has its default
    maxpool:pool=3,interpolation=bilinear    these have not; they stand in the order in which the class declares them
    uint8:percentile=99.9+jpeg:quality=75    a wire format of two stages, a label each

A label holds no `/` (keys are split there), no blank and no quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

Value = int | float | str

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TEXT = re.compile(r"[A-Za-z0-9_.-]+")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def format_label(name: str, parameters: Mapping[str, Value]) -> str:
    """The label; a float without fraction is written as a whole number. Raises ValueError where it would not parse."""
    text = f"{name}:" * bool(parameters) + ",".join(f"{key}={_shown(value)}" for key, value in parameters.items())
    parse_label(text or name)
    return text or name


def parse_label(text: str) -> tuple[str, dict[str, Value]]:
    """Name and parameters of a label: whole numbers as int, other numbers as float, all else as text.

    Raises:
        ValueError: the text is no label.
    """
    name, colon, rest = text.partition(":")
    parts = rest.split(",") if colon else []
    pairs = [part.partition("=") for part in parts]
    fits = all(equals and _NAME.fullmatch(key) and _TEXT.fullmatch(value) for key, equals, value in pairs)
    if not _NAME.fullmatch(name) or not fits or len({key for key, _, _ in pairs}) < len(pairs):
        raise ValueError(f"not a label: {text!r}; allowed: NAME or NAME:PARAMETER=VALUE,PARAMETER=VALUE")
    return name, {key: _value(value) for key, _, value in pairs}


def _shown(value: Value) -> str:
    if not isinstance(value, float):
        return str(value)
    return format(Decimal(repr(value)), "f").removesuffix(".0")  # 1e-05 would come back as a text


def _value(text: str) -> Value:
    if not _NUMBER.fullmatch(text):  # 007, 1e5, nan and the like stay texts
        return text
    return float(text) if "." in text else int(text)
