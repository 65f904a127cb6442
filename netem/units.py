"""Rates and durations: the one border where text and units are converted.

A rate is in Mbit/s (10**6 bit/s, as ``tc`` and the paper count) and stands in names as ``_mbps``; a
duration is in milliseconds and stands in names as ``_ms``. The kernel takes rates as whole bytes/s and
delays as whole microseconds.
"""

import math
import re

from netem.errors import LinkSpecError

_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]+)\s*", re.ASCII | re.IGNORECASE)
_MBPS_PER_UNIT = {"bit": 1e-6, "kbit": 1e-3, "mbit": 1.0, "gbit": 1e3}
_MS_PER_UNIT = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def parse_rate_mbps(text: str) -> float:
    """Mbit/s from text such as ``"57mbit"``, ``"37.5Mbit"`` or ``"1gbit"``.

    Raises:
        LinkSpecError: no number, no unit, or a unit that is not one of bit, kbit, mbit, gbit.
    """
    return _parse(text, "rate", _MBPS_PER_UNIT, "57mbit")


def parse_duration_ms(text: str) -> float:
    """Milliseconds from text such as ``"28ms"``, ``"500us"`` or ``"0.1s"``.

    Raises:
        LinkSpecError: no number, no unit, or a unit that is not one of us, ms, s.
    """
    return _parse(text, "duration", _MS_PER_UNIT, "28ms")


def parse_fraction(text: str) -> float:
    """A fraction from text such as ``"1%"`` or ``"0.01"``.

    Raises:
        LinkSpecError: no number; a range is checked where the fraction is used.
    """
    number = text.strip().removesuffix("%")
    try:
        value = float(number)
    except ValueError as error:
        raise LinkSpecError(f"share {text!r} is not a number: write for example 1% or 0.01") from error
    return value / 100 if text.strip().endswith("%") else value


def bytes_per_s(rate_mbps: float) -> int:
    """Whole bytes per second of a rate in Mbit/s, as netlink takes it."""
    return round(rate_mbps * 1e6 / 8)


def microseconds(duration_ms: float) -> int:
    """Whole microseconds of a duration in milliseconds, as netlink takes it."""
    return round(duration_ms * 1e3)


def milliseconds(duration_us: float) -> float:
    """Milliseconds of a duration in microseconds."""
    return duration_us / 1e3


def _parse(text: str, quantity: str, factors: dict[str, float], example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    allowed = ", ".join(factors)
    if match is None:
        raise LinkSpecError(f"{quantity} {text!r} is not a number with a unit ({allowed}): write for example {example}")
    number, unit = match.groups()
    if unit.lower() not in factors:
        raise LinkSpecError(
            f"{quantity} {text!r} has the unknown unit {unit!r}, allowed are {allowed}: write for example {example}"
        )
    value = float(number) * factors[unit.lower()]
    if not math.isfinite(value):
        raise LinkSpecError(f"{quantity} {text!r} is too large: give a finite number, for example {example}")
    return value
