"""The figure of what crosses the front cuts: a row of small images a cut (the paper's Fig. 8)."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import HarnessError
from harness.prediction.leakage import LeakageRecord
from harness.report import sheets
from harness.results.leakage import CutLeakage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "representations"
_ROW_INCHES, _WIDTH_INCHES = 0.95, 9.0


def draw(
    tiles: Path, record: LeakageRecord, folder: Path, *, title: str, formats: Sequence[str], dpi: int
) -> list[Path]:
    """Draw the tiles of each cut beside what the numbers say of it; gives the files written. `tiles`: see `figure`."""
    with sheets.look(NAME):
        return sheets.save(figure(tiles, record.cuts, title)[0], NAME, folder, formats, dpi)


def figure(tiles: Path, cuts: Sequence[CutLeakage], title: str) -> tuple[Figure, list[int]]:
    """A line of small images for each cut, and which cuts these are.

    Args:
        tiles: .npz with one array uint8 [tiles, height, width] a cut, named by the cut: the mean over the channels,
            then the channels that vary most.
        cuts: what is known of them, and of others.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    try:
        with np.load(tiles) as file:
            rows = {int(name): file[name] for name in sorted(file.files, key=int)}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise HarnessError(
            f"{tiles} is damaged ({error}); make it anew: python run.py mode=profile leakage.enabled=true"
        ) from error
    columns = max((len(images) for images in rows.values()), default=1)
    drawn = Figure(figsize=(_WIDTH_INCHES, 0.6 + _ROW_INCHES * len(rows)))
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(len(rows), columns + 1, squeeze=False, width_ratios=[2.6] + [1] * columns)
    for (cut, images), line in zip(rows.items(), axes, strict=True):
        line[0].text(0.0, 0.5, _label(cuts, cut), va="center", fontsize=7)
        for place, axis in enumerate(line):
            axis.axis("off")
            if 0 < place <= len(images):
                axis.imshow(images[place - 1], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if len(axes):
        axes[0][1].set_title("mean", fontsize=7)
        axes[0][2 if columns > 1 else 1].set_title("liveliest channels", fontsize=7, loc="left")
    drawn.suptitle(title, fontsize=10)
    drawn.tight_layout(rect=(0, 0, 1, 0.98))
    return drawn, list(rows)


def _label(cuts: Sequence[CutLeakage], cut: int) -> str:
    """Number and name of the cut, and what is known of each transfer layer there."""
    own = [each for each in cuts if each.split == cut]
    name = own[0].layer if own else ""
    lines = [f"{cut}  {name}"]
    for each in own:
        ssim = "" if each.ssim is None else f", SSIM {each.ssim:.2f}"
        lines.append(f"{each.transfer_layer}: {each.distance_correlation:.2f}{ssim}")
    return "\n".join(lines)
