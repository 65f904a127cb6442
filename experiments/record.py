"""Puts the outcome of an experiment on record: a small copy of its cells in experiments/recorded/, by its name.

    python experiments/record.py SWEEP [--name fig5] [--to experiments/recorded]

SWEEP is the folder that `python run.py experiment=NAME hydra.sweep.dir=SWEEP` left; its own name is taken unless
--name is given. What lies there under that name is replaced. The copy has what figures and claims are made from
(`python run.py mode=report from=experiments/recorded report.figures=all`, `python run.py mode=repro`): the rows with
times to a microsecond, headline figures, what was run, where and how long. Samples, pages and logs stay behind.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import catalogue
from experiments.cells import guarded
from harness.results import accuracy
from harness.results.cells import Cell, find_cells
from harness.results.records import ENVIRONMENT, SPLITS, STATUS, CellWriter, csv_text, read_json, write_json
from harness.results.schema import Row

#: Of `summary.json`: what figures, claims and a reader of the record need.
SUMMARY_KEYS = (
    "title", "model", "hardware", "weights", "predictor", "verdict", "reasons", "min_split", "sentence", "left_out",
    "mape", "p95_abs_error", "bias", "forecast_mape", "paper_mape", "kendall_tau", "regret", "noise_floor", "drift",
    "best_predicted", "best_measured", "speedup_vs_scission", "speedup_vs_device_only", "link", "replay",
)  # fmt: skip
ENVIRONMENT_KEYS = ("cpu", "cores", "kernel", "python", "versions", "git")
#: Decimals: a microsecond; relative errors to a thousandth of a per cent.
_MS, _SHARE = 3, 5
#: Tiles of a cut that are kept, and their side in pixels at most.
_TILES, _SIDE = 6, 48


def main(arguments: list[str]) -> int:
    """0 where something was put on record, 1 where no cell of the sweep ended well, 2 for a wrong call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="folder of a sweep, as hydra.sweep.dir had it")
    parser.add_argument("--name", help="of the experiment; the sweep's folder name unless given")
    parser.add_argument("--to", type=Path, default=catalogue.RECORDED, help="folder of all that is on record")
    options = parser.parse_args(arguments)
    if not options.sweep.is_dir():
        parser.error(f"{options.sweep}: no such folder; give the folder of a sweep, as hydra.sweep.dir had it")
    cells = [cell for cell in find_cells(options.sweep) if cell.status == "ok"]
    if not cells:
        print(f"{options.sweep}: no cell in it ended well; nothing is put on record", file=sys.stderr)
        return 1
    name = options.name or options.sweep.resolve().name
    if not name or name in (".", "..") or Path(name).name != name:
        parser.error(f"--name {name}: allowed: the name of one folder")
    target = options.to / name
    if target.resolve() == options.sweep.resolve():
        parser.error(f"{options.sweep} is what is on record; give the folder of a sweep, as hydra.sweep.dir had it")
    made = options.to / f".{name}.part"
    shutil.rmtree(made, ignore_errors=True)
    try:
        for cell in cells:
            keep(cell, made / cell.name)
    except BaseException:  # what was on record stays
        shutil.rmtree(made, ignore_errors=True)
        raise
    shutil.rmtree(target, ignore_errors=True)
    made.replace(target)
    catalogue.main([str(options.to)])
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {len(cells)} cells, {size / 1e3:.0f} kB")
    return 0


def keep(cell: Cell, folder: Path) -> None:
    """The small copy of one cell."""
    folder.mkdir(parents=True)
    with CellWriter(folder) as writer:
        if (cell.folder / SPLITS).exists():
            writer.splits([rounded(row) for row in cell.rows])
        writer.summary(_chosen(cell.summary, SUMMARY_KEYS))
        writer.environment(_chosen(read_json(cell.folder / ENVIRONMENT), ENVIRONMENT_KEYS))
    write_json(folder / STATUS, read_json(cell.folder / STATUS))
    (folder / "spec.yaml").write_text(_spec((cell.folder / "spec.yaml").read_text(encoding="utf-8")), encoding="utf-8")
    for name, copy in _OTHERS.items():
        if (cell.folder / name).exists():
            copy(cell.folder / name, folder / name)


def rounded(row: Row) -> Row:
    """The row with times to a microsecond."""
    changed: dict[str, Any] = {}
    for name, value in vars(row).items():
        if isinstance(value, float):
            changed[name] = round(value, _SHARE if name == "error" else _MS)
        elif isinstance(value, dict):
            changed[name] = {key: round(each, _MS) for key, each in value.items()}
    return replace(row, **changed)


def _chosen(record: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: record[key] for key in keys if key in record}


def _spec(text: str) -> str:
    """The resolved spec without its units, on a line."""
    record = yaml.safe_load(text)
    record.pop("units", None)
    return json.dumps(_without_folders(record)) + "\n"  # JSON is YAML


def _without_folders(record: Any) -> Any:
    """A place on this machine becomes its last name."""
    if isinstance(record, dict):
        return {key: _without_folders(value) for key, value in record.items()}
    if isinstance(record, list):
        return [_without_folders(value) for value in record]
    return Path(record).name if isinstance(record, str) and Path(record).is_absolute() else record


def _copy_accuracy(source: Path, target: Path) -> None:
    """Without the curves, and without where on that machine the weights lie."""
    left_out = ("history", "classes", "original_weights")
    kept = {key: value for key, value in read_json(source).items() if key not in left_out}
    write_json(target, _without_folders(kept))


def _copy_whatif(source: Path, target: Path) -> None:
    """The grid without the runners-up: who wins is what is drawn."""
    from harness.report import whatif

    lines = whatif.records(whatif.read_csv(source))
    short = [
        {**line, "second": "", "second_ms": "", "predicted_ms": f"{float(line['predicted_ms']):.1f}"} for line in lines
    ]
    target.write_text(csv_text(whatif.COLUMNS, short), encoding="utf-8")


def _copy_tiles(source: Path, target: Path) -> None:
    """Fewer and smaller tiles."""
    with np.load(source) as file:
        kept = {name: np.stack([_small(tile) for tile in file[name][:_TILES]]) for name in file.files}
    np.savez_compressed(target, **kept)


def _small(tile: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    picture = Image.fromarray(tile)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(picture)


#: Beside rows and summary: how each other file that a figure needs is copied.
_OTHERS: dict[str, Callable[[Path, Path], None]] = {
    accuracy.ACCURACY: _copy_accuracy,
    "whatif.csv": _copy_whatif,
    "leakage.csv": lambda source, target: target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8"),
    "representations.npz": _copy_tiles,
}


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
