"""Axes of a what-if grid: lists and ranges where a single value would stand, in mode=predict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from harness.spec.fields import Part, field

#: Values an axis may have.
MOST_VALUES = 10_000
#: Root keys that take a list or a range in mode=predict, and the axis that it becomes.
SHORTHANDS = {"bandwidth": "bandwidth", "latency": "latency"}


def parse_axis(value: object) -> object:
    """A list as it is; `START:STOP:COUNT` as COUNT values in even steps, `START:STOP:COUNT:log` in even ratios.

    Raises ValueError for a text that is neither.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [float(value)]
        if isinstance(value, list | tuple):
            return [float(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in value]
    except OverflowError:
        raise ValueError("a number larger than any that can be computed with") from None
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    try:
        start, stop, count = float(parts[0]), float(parts[1]), int(parts[2])
        scale = parts[3] if len(parts) == 4 else "linear"
    except (ValueError, IndexError):
        raise ValueError("not a range; allowed: START:STOP:COUNT or START:STOP:COUNT:log, e.g. 1:100:50:log") from None
    if len(parts) > 4 or scale not in ("linear", "log"):
        raise ValueError("not a range; allowed: START:STOP:COUNT or START:STOP:COUNT:log, e.g. 1:100:50:log")
    if not (math.isfinite(start) and math.isfinite(stop) and 2 <= count <= MOST_VALUES):
        raise ValueError(f"a range needs two finite ends and 2 to {MOST_VALUES} values")
    if scale == "linear":
        return [start + (stop - start) * place / (count - 1) for place in range(count)]
    if start <= 0 or stop <= 0:
        raise ValueError("a range in even ratios needs ends above 0")
    return [start * (stop / start) ** (place / (count - 1)) for place in range(count)]


def _axis(low: float, high: float, *, above: bool = False) -> Any:
    one = Annotated[float, Field(le=high, gt=low) if above else Field(le=high, ge=low)]
    many = Annotated[tuple[one, ...], Field(strict=False, min_length=1, max_length=MOST_VALUES)]
    return Annotated[many | None, BeforeValidator(parse_axis)]


class WhatIf(Part):
    """Grids of mode=predict (`conf/whatif`); null: the cell's own value alone."""

    bandwidth: _axis(0, 10_000, above=True) = field("uplink rates", "Mbit/s")  # type: ignore[valid-type]
    latency: _axis(0, 10_000) = field("round-trip times", "ms")  # type: ignore[valid-type]
    slowdown: _axis(1, 1000) = field("paces of the device")  # type: ignore[valid-type]
    baselines: bool = field("false: splits alone compete, without device-only and edge-only")

    @property
    def asked(self) -> bool:
        """Whether there is a grid at all."""
        return any(axis is not None for axis in (self.bandwidth, self.latency, self.slowdown))


def expand_shorthands(values: Mapping[str, Any]) -> dict[str, Any]:
    """In mode=predict, move a list or range at a key of `SHORTHANDS` to its axis; the key keeps the first value.

    Anything that is no list and no range stays, for the schema to judge.
    """
    changed = dict(values)
    if values.get("mode") != "predict":
        return changed
    whatif = values.get("whatif")
    if not isinstance(whatif, Mapping):
        return changed
    for key, axis in SHORTHANDS.items():
        given = values.get(key)
        if whatif.get(axis) is not None or not (isinstance(given, list) or (isinstance(given, str) and ":" in given)):
            continue
        try:
            parsed = parse_axis(given)
        except ValueError:
            continue
        if isinstance(parsed, list) and parsed:
            changed[key] = parsed[0]
            changed["whatif"] = {**changed["whatif"], axis: given}
    return changed
