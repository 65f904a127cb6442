"""What of a cell was replayed, how exactly, and what of that nobody recorded, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def provenance_lines(summary: Mapping[str, Any]) -> list[str]:
    """A line for each replayed tier, then one for each estimate; none where both tiers computed.

    Args:
        summary: the record of `summary.json`.
    """
    lines = [_replayed(tier, own, (summary.get("replay") or {}).get(tier)) for tier, own in _tiers(summary).items()]
    for estimate in summary.get("estimated") or []:
        terms, count = ", ".join(estimate["terms"]), len(estimate["candidates"])
        lines.append(f"Estimated, not recorded: {terms} of {count} candidates ({estimate['method']})")
    for what, own in (summary.get("forced_profiles") or {}).items():
        differing = "; ".join(f"{key} {made!r}, not {wanted!r}" for key, (made, wanted) in own["differs"].items())
        lines.append(f"profile.force: {what} from {own['file']}, made on {differing}")
    return lines


def _tiers(summary: Mapping[str, Any]) -> dict[str, Any]:
    tiers: dict[str, Any] = summary.get("replayed") or {}
    return tiers


def _replayed(tier: str, own: Mapping[str, Any], precision: Mapping[str, Any] | None) -> str:
    line = f"Replayed: {', '.join(own['terms'])} of the {tier}, {own['system']} ({own.get('file', 'no file')})"
    if precision is None:
        return line
    off, allowed = precision["off_ms"], precision["allowed_ms"]
    held = "" if precision["held"] else f", more than the {allowed:g} ms allowed"
    return f"{line}; off by {off['p50']:.3f} ms (median), {off['p95']:.3f} ms (p95){held}"
