"""Predicts what a split neural network costs over a link, runs it, and says whether the prediction held.

`harness.load` reads results into a pandas frame; the command line is `run.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results.frames import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for: the tiers' processes do without."""
    if name == "load":
        from harness.results.frames import load

        return load
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
