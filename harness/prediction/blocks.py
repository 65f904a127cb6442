"""Cumulative block times over the cuts of a model, fine and as the authors' tool sums them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.prediction.profile import TierProfile


def fine_cumulative_ms(profile: TierProfile) -> NDArray[np.float64]:
    """Fine blocks summed up to each cut, then over the whole model; shape [cuts + 1]."""
    return np.cumsum(np.asarray(profile.block_ms))


def scission_cumulative_ms(profile: TierProfile, execution: str = "compiled") -> NDArray[np.float64]:
    """Blocks between `scission_cut`s summed up to each cut, then over the whole model; shape [cuts + 1].

    `execution` says which of the profile's times: `compiled`, or `eager` as the authors' tool runs them.

    At a `scission_cut` this is the sum of the authors' tool. Within a block of theirs the time is shared out as
    the fine blocks have it, since their tool knows no cut there.
    """
    fine = fine_cumulative_ms(profile)
    bounds = [position for position, cut in enumerate(profile.cuts) if cut.scission_cut]
    if not bounds or bounds[-1] != len(profile.cuts):
        bounds.append(len(profile.cuts))
    knots = np.concatenate(([0.0], fine[bounds]))
    block_ms = profile.eager_scission_block_ms if execution == "eager" else profile.scission_block_ms
    values = np.concatenate(([0.0], np.cumsum(block_ms)))
    return np.interp(fine, knots, values)
