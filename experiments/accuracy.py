"""Whether a TLModel keeps its accuracy: the paper's Table 2 offline, on Fashion-MNIST at 32x32.

    python experiments/accuracy.py [--networks densenet121:51,resnet50:38,densenet121:69] [--seeds 0,1,2]
        [--formats float32,uint8] [--train distilled] [--minutes 60] [--folder outputs/accuracy] [--each]
        [KEY=VALUE ...]

For each network and cut, wire format and seed one cell of mode=train: `maxpool`, all 10,000 test images. A seed is
that of the retraining (order of the pictures); the original, trained first, is the same for all of them unless `--each`
is given. Trainings are kept by content, so that a cut is retrained against a control that another cut has made, and a
run that was stopped, or killed, goes on where it was. KEY=VALUE goes to every cell (train.epochs=0.4).

The table, on the console and in `accuracy.md` of the folder, has for each network, cut and format the mean over seeds
of the drop in top-1 against the better of original and control, with two 95 % intervals: over seeds (Student's t), and
over test pictures (paired, each picture's mean over the seeds). Each cell is put on record in
`experiments/records/accuracy.jsonl`. Ends with 1 if a bar is broken, with 4 while cells are missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import ROOT, Cell, guarded, markdown, run_all
from experiments.ledger import Ledger
from harness.results import accuracy

#: Network and cut, with the layer that stands there: Table 2's form, and a harder cut.
NETWORKS = {
    ("densenet121", 51): "conv2_block6_concat",
    ("resnet50", 38): "conv2_block3_out",
    ("densenet121", 69): "conv3_block2_concat",
}
FORMATS = ("float32", "uint8")
SEEDS = (0, 1, 2)
#: Of a training's record: long, or of no use on another machine.
_LEFT_OUT = ("classes", "history", "original_weights")
ALWAYS = ("mode=train", "transfer_layer=maxpool", "dataset=fashion_mnist", "dataset.size=32")
#: The bars: mean drop in percentage points by format, at the harder cut, of the control; minutes of one retraining.
MAX_DROP = {"float32": 0.5, "uint8": 1.0}
HARDER, MAX_DROP_HARDER = ("densenet121", 69), 1.0
MAX_CONTROL_DROP = 0.3
MAX_MINUTES = 25.0
HEADER = (
    *("network", "cut", "format", "seeds", "original", "control", "untrained", "BN recalibrated", "retrained"),
    *("drop [seeds] [pictures]", "bar", "minutes", "verdict"),
)


@dataclass(frozen=True)
class Outcome:
    """One cell: `record` is its `accuracy.json`; differences are reference - retrained, by test picture, -1 to 1."""

    record: dict[str, Any]
    differences: NDArray[np.float64]

    def top1(self, stage: str) -> float:
        """Share of the test pictures."""
        return float(next(row["top1"] for row in self.record["rows"] if row["stage"] == stage))

    @property
    def control_drop(self) -> float:
        """What the control lies below the original, percentage points."""
        return 100 * (self.top1("original") - self.top1("control"))

    @property
    def minutes(self) -> float:
        """Of the retraining's steps."""
        steps, seconds = 0, 0.0
        for line in self.record["history"]:
            if line["stage"] == "tl_model":
                seconds += (line["step"] - steps) * line["seconds_per_step"]
                steps = line["step"]
        return seconds / 60


def plan(
    networks: Iterable[tuple[str, int]],
    formats: Iterable[str],
    seeds: Iterable[int],
    train: str,
    each: bool,
    more: Sequence[str],
) -> list[Cell]:
    """The cells: seeds outermost, so that an unfinished table has all networks."""
    formats, networks = tuple(formats), tuple(networks)
    return [
        Cell(
            f"{model}-{split}-{format_}-{seed}",
            (
                *ALWAYS,
                *(f"train={train}", f"model={model}", f"split={split}", f"wire_format={format_}", f"seed={seed}"),
                *(() if each else ("train.original.seed=0",)),
                *more,
            ),
        )
        for seed in seeds
        for model, split in networks
        for format_ in formats
    ]


def outcome(folder: Path) -> Outcome:
    """A finished cell. Raises HarnessError where it is none."""
    record, _ = accuracy.read(folder)
    with np.load(folder / accuracy.PREDICTIONS) as found:
        right = {stage: found[stage] == found["labels"] for stage in (record["reference"], "tl_retrained")}
    differences = right[record["reference"]].astype(float) - right["tl_retrained"].astype(float)
    return Outcome(record, differences)


def seed_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean by Student's t; None of a single value."""
    if len(values) < 2:
        return None
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def picture_interval(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """95 % interval of the mean drop over test pictures, percentage points: each picture's mean over the seeds."""
    each = 100 * np.mean([found.differences for found in outcomes], axis=0)
    half = 1.959964 * float(each.std(ddof=1)) / len(each) ** 0.5
    return float(each.mean()) - half, float(each.mean()) + half


def bar(model: str, split: int, format_: str) -> float:
    """The largest mean drop allowed, percentage points."""
    return MAX_DROP_HARDER if (model, split) == HARDER else MAX_DROP[format_]


def row(model: str, split: int, format_: str, outcomes: Sequence[Outcome]) -> tuple[dict[str, Any], bool]:
    """A line of the table by `HEADER`, and whether its bars hold."""
    drops = [100 * float(found.differences.mean()) for found in outcomes]
    over_seeds, over_pictures = seed_interval(drops), picture_interval(outcomes)
    controls = [found.control_drop for found in outcomes]
    minutes = max(found.minutes for found in outcomes)
    broken = [
        name
        for name, held in (
            ("drop", mean(drops) <= bar(model, split, format_)),
            ("control", mean(controls) <= MAX_CONTROL_DROP),
            ("minutes", minutes <= MAX_MINUTES),
        )
        if not held
    ]
    stages = {stage: f"{100 * mean(found.top1(stage) for found in outcomes):.2f}" for stage in accuracy.STAGES}
    return {
        "network": model,
        "cut": f"{split} ({outcomes[0].record['layer']})",
        "format": format_,
        "seeds": str(len(outcomes)),
        **dict(zip(HEADER[4:9], stages.values(), strict=True)),
        HEADER[9]: f"{mean(drops):+.2f} {_shown(over_seeds)} {_shown(over_pictures)}",
        "bar": f"<= {bar(model, split, format_):g}",
        "minutes": f"{minutes:.1f}",
        "verdict": f"fails: {', '.join(broken)}" if broken else "holds",
    }, not broken


def _shown(interval: tuple[float, float] | None) -> str:
    return "[one seed]" if interval is None else f"[{interval[0]:+.2f}, {interval[1]:+.2f}]"


def table(found: Mapping[str, Outcome], cells: Sequence[Cell]) -> tuple[str, bool]:
    """The table of all that is finished, and whether every bar holds in it."""
    groups: dict[tuple[str, int, str], list[Outcome]] = {}
    for cell in cells:
        if cell.name in found:
            key = (cell.override("model"), int(cell.override("split")), cell.override("wire_format"))
            groups.setdefault(key, []).append(found[cell.name])
    lines = [row(*key, outcomes) for key, outcomes in groups.items()]
    return markdown(HEADER, [[line[name] for name in HEADER] for line, _ in lines]), all(held for _, held in lines)


def expected(cell: Cell, record: Mapping[str, Any]) -> None:
    """Raise ValueError where a cut of Table 2 is not the layer that it should be."""
    layer = NETWORKS.get((cell.override("model"), int(cell.override("split"))))
    if layer is not None and record["layer"] != layer:
        raise ValueError(f"{cell.name}: cut after {record['layer']}, should be {layer}")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every bar holds, 1 where one is broken, 2 for a wrong call, 4 while cells are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks", default=",".join(f"{model}:{split}" for model, split in NETWORKS), help="MODEL:CUT"
    )
    parser.add_argument("--formats", default=",".join(FORMATS), help="of conf/wire_format")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="of the retraining")
    parser.add_argument("--train", default="distilled", help="recipe of conf/train")
    parser.add_argument("--each", action="store_true", help="an original of its own for each seed")
    parser.add_argument("--minutes", type=float, help="start no cell after so many")
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "accuracy", help="of the cells")
    parser.add_argument("more", nargs="*", metavar="KEY=VALUE", help="for every cell")
    given = parser.parse_args(arguments)
    try:
        networks = [(name.partition(":")[0], int(name.partition(":")[2])) for name in given.networks.split(",")]
        seeds = [int(seed) for seed in given.seeds.split(",")]
    except ValueError as error:
        parser.error(f"{error}; allowed: --networks MODEL:CUT,MODEL:CUT and --seeds 0,1")
    if odd := sorted(set(given.formats.split(",")) - MAX_DROP.keys()):
        parser.error(f"--formats {odd[0]}: there is no bar for it; allowed: {', '.join(MAX_DROP)}")
    cells = plan(networks, given.formats.split(","), seeds, given.train, given.each, given.more)
    folder = given.folder.resolve()
    usual = not given.more and not given.each and given.train == parser.get_default("train")
    ledger = Ledger.of("accuracy") if usual else Ledger(folder / "accuracy.jsonl")
    found = {}
    for cell in run_all(cells, folder, minutes=given.minutes):
        found[cell.name] = outcome(folder / cell.name)
        expected(cell, found[cell.name].record)
        record = {name: value for name, value in found[cell.name].record.items() if name not in _LEFT_OUT}
        ledger.add(cell.name, {**record, "minutes": found[cell.name].minutes}, folder / cell.name)
    if not found:
        return 4
    text, held = table(found, cells)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accuracy.md").write_text(text, encoding="utf-8")
    print(text, end="")
    if not held:
        return 1
    return 0 if len(found) == len(cells) else 4


if __name__ == "__main__":
    guarded(main)
