"""The figure of what crosses the front cuts: a row of small images a cut (the paper's Fig. 8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.prediction.leakage import LeakageRecord

NAME = "representations"
_ROW_INCHES, _WIDTH_INCHES = 0.95, 9.0


def draw(
    tiles: Path, record: LeakageRecord, folder: Path, *, title: str, formats: Sequence[str], dpi: int
) -> list[Path]:
    """Draw the tiles of each cut beside what the numbers say of it; gives the files written.

    Args:
        tiles: .npz with one array uint8 [tiles, height, width] a cut, named by the cut: the mean over the channels,
            then the channels that vary most.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with np.load(tiles) as file:
        rows = {int(name): file[name] for name in sorted(file.files, key=int)}
    columns = max(len(images) for images in rows.values())
    size = (_WIDTH_INCHES, 0.6 + _ROW_INCHES * len(rows))
    figure, axes = plt.subplots(len(rows), columns + 1, figsize=size, squeeze=False, width_ratios=[2.6] + [1] * columns)
    for (cut, images), line in zip(rows.items(), axes, strict=True):
        line[0].text(0.0, 0.5, _label(record, cut), va="center", fontsize=7)
        for place, axis in enumerate(line):
            axis.axis("off")
            if 0 < place <= len(images):
                axis.imshow(images[place - 1], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if len(axes):
        axes[0][1].set_title("mean", fontsize=7)
        axes[0][2 if columns > 1 else 1].set_title("liveliest channels", fontsize=7, loc="left")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    written = [folder / f"{NAME}.{each}" for each in formats]
    for path in written:
        figure.savefig(path, dpi=dpi)
    plt.close(figure)
    return written


def _label(record: LeakageRecord, cut: int) -> str:
    """Number and name of the cut, and what is known of each transfer layer there."""
    own = [each for each in record.cuts if each.split == cut]
    name = own[0].layer if own else ""
    lines = [f"{cut}  {name}"]
    for each in own:
        ssim = "" if each.ssim is None else f", SSIM {each.ssim:.2f}"
        lines.append(f"{each.transfer_layer}: {each.distance_correlation:.2f}{ssim}")
    return "\n".join(lines)
