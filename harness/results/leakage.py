"""What a cut reveals of the picture, as it is measured, kept and ruled by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CutLeakage:
    """One cut with one transfer layer.

    distance_correlation   between pictures and payload tensors, 0 to 1
    ssim                   of the decoder's pictures to the true ones, -1 to 1; None where none was trained
    """

    split: int
    layer: str
    transfer_layer: str
    distance_correlation: float
    ssim: float | None = None
