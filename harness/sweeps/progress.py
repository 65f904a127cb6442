"""How far a sweep is, in a line before each cell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from hydra.core.utils import filter_overrides

_WIDTH = 100
#: What takes less in all has no time left worth a word.
_LONG_S = 60.0


def announce(ended: int, took_s: Sequence[float], count: int, number: int, overrides: Sequence[str]) -> None:
    """Print which cell begins, which one of how many it is, and how long the rest takes at the pace so far.

    Args:
        ended: how many cells are there already, those kept from an earlier start among them.
        took_s: what each took that ran now.
        count: cells of the sweep.
        number: of the one that begins.
        overrides: what was typed for it.
    """
    typed = " ".join(filter_overrides(overrides))
    print(f"[{ended + 1}/{count}] cell {number}{left(took_s, count - ended)}: {typed}"[:_WIDTH], flush=True)


def left(took_s: Sequence[float], cells: int) -> str:
    """`, about 7 min left` for so many cells at the mean of those that ran; nothing for less than a minute."""
    seconds = statistics.mean(took_s) * cells if took_s else 0.0
    return f", about {seconds / 60:.0f} min left" if seconds > _LONG_S else ""
