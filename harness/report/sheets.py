"""Empty sheets for figures, the settings they are drawn under, and the files that they become."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def look(name: str, **settings: Any) -> AbstractContextManager[None]:
    """The settings under which the figure `name` is drawn and saved: the same input gives the same file.

    Args:
        settings: matplotlib's own, over these.
    """
    from matplotlib import rc_context

    common = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9, "font.family": "sans-serif"}
    return rc_context(common | settings)


def sheet(width_inches: float, height_inches: float) -> Figure:
    """An empty figure that lays itself out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, name: str, folder: Path, formats: Sequence[str], dpi: int) -> list[Path]:
    """Write `NAME.FORMAT` for each format into `folder`; gives their paths in that order.

    The layout, half of the time that a file takes, is found once for all of them: no later than this is anything added.
    """
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    paths = [folder / f"{name}.{kind}" for kind in formats]
    undated: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    for path in paths:
        figure.savefig(path, dpi=dpi, metadata=undated.get(path.suffix, {}))
    return paths


def plain_numbers(axis: Axis) -> None:
    """The ticks of a logarithmic axis as numbers, 10 and 100, not as powers of ten; between them where few fit."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.6)))
