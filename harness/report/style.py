"""How results look, in one place: labels of terms, colours, number formats."""

from __future__ import annotations

from harness.results.schema import TERMS, Key
from harness.validation.statistics import candidate_name

__all__ = [
    "BASELINE_COLOURS",
    "BOTH_WAYS",
    "ESTIMATED_HATCH",
    "OTHER_COLOURS",
    "PREDICTION_COLOURS",
    "TERM_COLOURS",
    "TERM_LABELS",
    "VERDICT_COLOURS",
    "candidate_name",
    "factor",
    "headline",
    "key_name",
    "milliseconds",
    "payload",
    "percent",
    "short_name",
]

TERM_LABELS = {
    "device": "device",
    "device_tl": "DeviceTL",
    "serialize": "serialise",
    "uplink": "uplink",
    "queue": "queue",
    "deserialize": "deserialise",
    "edge_tl": "EdgeTL",
    "edge": "edge",
    "downlink": "downlink",
}

#: What is drawn for `uplink` where no clock is on both ends of the link.
BOTH_WAYS = "link, both ways"

#: Light fills, so that the lines and points of the predictions stay on top. The neighbours in a stack differ
#: in lightness as well as in hue (after Paul Tol's light scheme, safe for colour-blind readers).
TERM_COLOURS = dict(
    zip(
        TERMS,
        (
            "#c9ced6",  # device
            "#6b7280",  # device_tl
            "#aaaa00",  # serialize
            "#f3dc8c",  # uplink
            "#7a5195",  # queue
            "#ffaabb",  # deserialize
            "#225555",  # edge_tl
            "#8fd0b5",  # edge
            "#e08e45",  # downlink
        ),
        strict=True,
    )
)

#: The paper draws ScissionTL blue and Scission red; these two are the colour-blind-safe blue and red (Tol).
PREDICTION_COLOURS = {"maxpool": "#0b5cad", "none": "#cc3311"}
#: Of encodings that no paper draws (Tol's muted scheme).
OTHER_COLOURS = ("#117733", "#aa4499", "#999933", "#332288")
BASELINE_COLOURS = {"device-only": "#333333", "edge-only": "#7a5195"}
VERDICT_COLOURS = {"pass": "#1b7837", "fail": "#b2182b", "inconclusive": "#8a6d00"}

#: Over the terms of a replayed tier that nobody recorded.
ESTIMATED_HATCH = "////"

NOTHING = "–"


def short_name(key: Key) -> str:
    """A candidate in a table's first column."""
    parts = [key.candidate, *(() if key.split is None else (str(key.split), key.transfer_layer))]
    if key.candidate == "edge-only" or (key.split is not None and key.wire_format != "float32"):
        parts.append(key.wire_format)
    return " ".join(parts)


def milliseconds(value: float | None) -> str:
    """A latency in ms, one decimal."""
    return NOTHING if value is None else f"{value:.1f}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A fraction as a percentage, one decimal."""
    if value is None:
        return NOTHING
    return f"{value:+.1%}" if signed else f"{value:.1%}"


def factor(value: float | None) -> str:
    """A ratio of times: how many times as fast."""
    return NOTHING if value is None else f"{value:.2f}×"


def payload(size_bytes: int | None) -> str:
    """A payload in kB (1000 bytes), as links count."""
    return NOTHING if size_bytes is None else f"{size_bytes / 1000:.1f}"


def key_name(text: str | None) -> str:
    """A candidate's key, as the summary spells it, in words."""
    if not text:
        return NOTHING
    try:
        return candidate_name(Key.parse(text))
    except ValueError:
        return text


def headline(verdict: str | None, status: str | None = "ok") -> str:
    """The verdict as a reader wants it first."""
    if status not in (None, "ok"):
        return f"Cell {status}"
    return {
        "pass": "Pass: the prediction held",
        "fail": "Fail: the gate found an error",
        "inconclusive": "Inconclusive: the gate could not decide",
    }.get(verdict or "", "No verdict")
