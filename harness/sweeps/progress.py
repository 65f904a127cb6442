"""How far a sweep is, in a line before each cell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from hydra.core.utils import filter_overrides

_WIDTH = 100
#: A cell that took less was kept from an earlier start, and says nothing of those to come.
_KEPT_S = 0.5
#: What takes less in all has no time left worth a word.
_LONG_S = 60.0


def announce(took_s: Sequence[float], count: int, number: int, overrides: Sequence[str]) -> None:
    """Print which cell begins, which one of how many it is, and how long the rest takes at the pace so far.

    Args:
        took_s: what the cells before it took.
        count: cells of the sweep.
        number: of the one that begins.
        overrides: what was typed for it.
    """
    typed = " ".join(filter_overrides(overrides))
    print(f"[{len(took_s) + 1}/{count}] cell {number}{left(took_s, count)}: {typed}"[:_WIDTH], flush=True)


def left(took_s: Sequence[float], count: int) -> str:
    """`, about 7 min left` at the mean of the cells that ran; nothing where it is less than a minute, or unknown."""
    ran = [seconds for seconds in took_s if seconds > _KEPT_S]
    if not ran:
        return ""
    seconds = statistics.mean(ran) * (count - len(took_s))
    return f", about {seconds / 60:.0f} min left" if seconds > _LONG_S else ""
