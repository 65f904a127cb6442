"""Every figure of the paper and of ours, drawn from the cells that its experiment left on disk (pure).

A figure goes by the name of its experiment (`conf/experiment/NAME.yaml`) and leaves NAME.svg, NAME.png and NAME.csv,
the numbers that are plotted. It needs no root, no link and no TensorFlow; cells that are missing become panels that
say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import SpecError
from harness.report.figures import (
    accuracy,
    best,
    canvas,
    errors,
    front,
    payload,
    representations,
    slices,
    winmap,
)
from harness.results.cells import Cell, cells_in
from harness.spec.reporting import ALL

Draw = Callable[[Sequence[Cell]], canvas.Drawing]
_MODELS = ("densenet169", "densenet201", "resnet101", "inceptionresnet_v2", "inception_v3")
_PAIRS = tuple(name for name in canvas.HARDWARE_NAMES if "-" in name)


def _pairs(model: str) -> list[slices.Panel]:
    return [slices.Panel(canvas.HARDWARE_NAMES[pair], {"model": model, "hardware": pair}) for pair in _PAIRS]


def _rates(model: str, hardware: str) -> list[slices.Panel]:
    shared = {"model": model, "hardware": hardware}
    return [slices.Panel(f"{rate:g} Mbit/s", {**shared, "bandwidth_mbps": float(rate)}) for rate in (60, 30)]


FIGURES: dict[str, Draw] = {
    "fig4": lambda cells: best.of_models(cells, _MODELS, "Best latency of five DNNs, 57 Mbit/s up, 28 ms round trip"),
    "fig5": lambda cells: slices.draw(
        cells, _pairs("densenet169"), "DenseNet169 slice by slice, 57 Mbit/s up, 28 ms round trip"
    ),
    "fig6": lambda cells: slices.draw(
        cells, _pairs("resnet101"), "ResNet101 slice by slice, 57 Mbit/s up, 28 ms round trip"
    ),
    "fig7": lambda cells: payload.draw(cells, ("densenet169", "resnet101"), "Payload at each recorded cut"),
    "fig8": representations.draw,
    "fig9": lambda cells: slices.draw(
        cells,
        _rates("densenet201", "gpu_device-gpu_edge"),
        "DenseNet201 on GPU_Device-GPU_Edge, 30 ms round trip",
    ),
    "table1": lambda cells: best.of_configurations(
        cells, "densenet169", "DenseNet169 on the six configurations of Table 1, 57 Mbit/s up, 28 ms round trip"
    ),
    "table2": accuracy.draw,
    "winmap": winmap.draw,
    "waterfall": errors.by_term,
    "errors": errors.distribution,
    "front": front.draw,
}


def cells_of(name: str, sources: Sequence[Path]) -> list[Cell]:
    """The cells that a figure is drawn from: below a folder of its name, where a source has one, else below the source.

    Raises:
        SpecError: a source does not exist.
    """
    found: list[Cell] = []
    for source in sources:
        if not source.is_dir():
            raise SpecError(f"from={source}: there is no such folder; allowed: folders of cells or of sweeps")
        found += cells_in(source / name if (source / name).is_dir() else source)
    return found


def make(
    names: Sequence[str],
    sources: Sequence[Path],
    folder: Path,
    formats: Sequence[str] = ("svg", "png"),
    dpi: int = 150,
) -> list[Path]:
    """Draw figures from the cells in `sources` into `folder`; gives the files.

    Args:
        names: keys of `FIGURES`; `all`: each that a source has a folder for.

    Raises:
        SpecError: a source does not exist; there is no such figure, or nothing that it could be drawn from.
    """
    wanted = list(names)
    if ALL in wanted:
        wanted = [name for name in FIGURES if any((source / name).is_dir() for source in sources)]
        if not wanted:
            raise SpecError(
                f"report.figures=all: from={', '.join(map(str, sources))} has no folder named as a figure; allowed: a "
                f"folder with {', '.join(FIGURES)}, or report.figures=[NAME]"
            )
    unknown = [name for name in wanted if name not in FIGURES]
    if unknown:
        raise SpecError(f"report.figures: there is no figure {unknown[0]}; allowed: {', '.join(FIGURES)}")
    made: list[Path] = []
    for name in wanted:
        cells = [cell for cell in cells_of(name, sources) if cell.status == "ok"]
        if not cells:
            places = ", ".join(map(str, sources))
            raise SpecError(f"report.figures=[{name}]: no finished cell in {places}; run experiment={name} first")
        with canvas.look(name):
            made += canvas.save(name, FIGURES[name](cells), folder, formats, dpi)
    return made
