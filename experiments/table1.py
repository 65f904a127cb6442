"""The paper's Table 1 and the ratios it claims, beside what its authors' released recordings give here.

    python experiments/table1.py --profiles FOLDER [--folder FOLDER] [--samples N] [--table]

FOLDER of the recordings is a checkout of qub-blesson/ScissionTL, e.g. ../shared/scissiontl. Runs `experiment=table1`
(DenseNet169 on all six configurations), the same with the edge under Triton, and ResNet101 as far as it was recorded:
some fifteen minutes. Every time of device and edge is replayed from the recordings; tensors, link and server are real.
What is finished is kept; `--table` runs nothing. The tables go to the console and to FOLDER/table1.md.

"Eqs. 1-6" is the paper's predictor, "calibrated" ours, "measured" over the link. A ratio without transfer layer has the
conversion of the large tensor in it, which nobody recorded: it is estimated, see `estimated` in each summary.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import ROOT, finished, markdown, percent, summary
from harness.results.records import read_splits
from harness.results.schema import Row

CONFIGURATIONS = (
    "cpu_device", "gpu_device", "cpu_device-cpu_edge", "cpu_device-gpu_edge", "gpu_device-cpu_edge",
    "gpu_device-gpu_edge",
)  # fmt: skip
PAIRS = CONFIGURATIONS[2:]
RECORDED_RESNET = ("gpu_device", "gpu_device-cpu_edge", "gpu_device-gpu_edge")
#: Cuts of ResNet101 at which both are measured: the first, from 5 on, early, middle and late ones.
RESNET_CUTS = "[1,5,17,49,79,141,251,333]"
#: By folder below the experiment's, what is given to run.py beside `experiment=table1`.
SWEEPS: dict[str, tuple[str, ...]] = {
    "densenet169": (),
    "densenet169-triton": (
        "hardware=cpu_device-gpu_edge,gpu_device-gpu_edge",
        "hardware.edge.runtime=triton",
    ),
    "resnet101": ("model=resnet101", f"hardware={','.join(RECORDED_RESNET)}", f"measure.splits={RESNET_CUTS}"),
}
#: Claimed by the paper, Section 4.2: Figure 5 (DenseNet169) and Figure 6 (ResNet101), by pair.
FIG5 = dict(zip(PAIRS, (2.8, 2.6, 2.8, 2.5), strict=True))
FIG6 = dict(zip(PAIRS, (2.31, 2.42, 2.24, 2.25), strict=True))
FIG4 = {"cpu_device": 16.0, "gpu_device": 5.7}
LANDMARKS = {"maxpool": 51, "none": 139}
MIN_SPLIT = 5
#: A claim counts as carried from this share of it on.
CARRIED = 0.95

KINDS: dict[str, Callable[[Row], float | None]] = {
    "Eqs. 1-6": lambda row: row.paper_ms,
    "calibrated": lambda row: row.predicted_ms,
    "measured": lambda row: row.measured_ms,
}
Value = Callable[[Row], float | None]


@dataclass(frozen=True)
class Claim:
    """One line of the table: what the paper says, and by kind what came out here.

    found: by kind, the ratio (or the cut) and a note; empty where nobody recorded what it needs.
    """

    text: str
    paper: float
    found: dict[str, tuple[float, str]]
    missing: str = ""

    def verdict(self, *, exact: bool) -> str:
        """Whether the released data carry the claim."""
        if not self.found:
            return self.missing
        values = [value for value, _ in self.found.values()]
        if exact:
            return "yes" if all(value == self.paper for value in values) else "no"
        most = max(values)
        return "yes" if most >= CARRIED * self.paper else f"no: {most:.2f} at most"


class Cells:
    """The finished cells of the experiment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, sweep: str, hardware: str) -> list[Row]:
        """Of one cell; empty where it was not run to its end."""
        folder = self._folder / sweep / hardware
        return read_splits(folder) if finished(folder) else []

    def summary(self, sweep: str, hardware: str) -> dict[str, Any]:
        folder = self._folder / sweep / hardware
        return summary(folder) if finished(folder) else {}


# -- ratios ---------------------------------------------------------------------------------------------


def best(rows: Sequence[Row], value: Value, transfer_layer: str, least: int = 0) -> tuple[float, int] | None:
    """The least latency of a transfer layer's splits from a cut on, and the cut."""
    own = [
        (ms, row.key.split)
        for row in rows
        if row.key.transfer_layer == transfer_layer and row.key.split is not None and row.key.split >= least
        if (ms := value(row)) is not None
    ]
    return min(own) if own else None


def same_cut_gain(rows: Sequence[Row], value: Value) -> tuple[float, str] | None:
    """How many times faster ScissionTL is than Scission at the same cut, the most, and where."""
    times: dict[int, dict[str, float]] = {}
    for row in rows:
        ms = value(row)
        if row.key.split is not None and ms is not None:
            times.setdefault(row.key.split, {})[row.key.transfer_layer] = ms
    gains = [(own["none"] / own["maxpool"], cut) for cut, own in times.items() if {"none", "maxpool"} <= own.keys()]
    return (max(gains)[0], f"cut {max(gains)[1]}") if gains else None


def best_gain(rows: Sequence[Row], value: Value, least: int) -> tuple[float, str] | None:
    """The best of Scission against the best of ScissionTL, each at its own cut."""
    slow, fast = best(rows, value, "none", least), best(rows, value, "maxpool", least)
    return (slow[0] / fast[0], f"{slow[1]} / {fast[1]}") if slow and fast else None


def by_kind(ratio: Callable[[Value], tuple[float, str] | None]) -> dict[str, tuple[float, str]]:
    """A ratio for each kind that has it."""
    return {kind: found for kind, value in KINDS.items() if (found := ratio(value)) is not None}


def against_device(cells: Cells, sweep: str, alone: str) -> dict[str, tuple[float, str]]:
    """A device alone against the best split with the transfer layer on GPU device and GPU edge."""
    device, split = cells.rows("densenet169", alone), cells.rows(sweep, "gpu_device-gpu_edge")

    def ratio(value: Value) -> tuple[float, str] | None:
        whole = next((value(row) for row in device if row.key.candidate == "device-only"), None)
        found = best(split, value, "maxpool")
        return (whole / found[0], f"cut {found[1]}") if whole is not None and found else None

    return by_kind(ratio)


# -- tables ---------------------------------------------------------------------------------------------


def claims(cells: Cells) -> list[Claim]:
    """Every ratio that the paper states for these configurations."""
    found = []
    for alone, paper in FIG4.items():
        for sweep, runtime in (("densenet169", "eager edge"), ("densenet169-triton", "Triton edge")):
            text = f"Fig. 4: GPU-GPU against {alone}, up to (DenseNet169, {runtime})"
            found.append(Claim(text, paper, against_device(cells, sweep, alone), "not run"))
    for model, figure, paper_ratios in (("densenet169", "Fig. 5", FIG5), ("resnet101", "Fig. 6", FIG6)):
        for pair, paper in paper_ratios.items():
            rows = cells.rows(model, pair)
            missing = "not recorded: TX2 CPU" if model == "resnet101" and pair.startswith("cpu") else "not run"
            gain = by_kind(lambda value, rows=rows: same_cut_gain(rows, value))  # type: ignore[misc]
            found.append(Claim(f"{figure}: {pair}, up to, at one cut", paper, gain, missing))
            ends = by_kind(lambda value, rows=rows: best_gain(rows, value, 0))  # type: ignore[misc]
            found.append(Claim(f"{figure}: {pair}, best against best", paper, ends, missing))
    return found


def cut_claims(cells: Cells) -> list[Claim]:
    """The best cuts from cut 5 on, GPU device and GPU edge."""
    rows = cells.rows("densenet169", "gpu_device-gpu_edge")
    found = []
    for layer, cut in LANDMARKS.items():

        def ratio(value: Value, layer: str = layer) -> tuple[float, str] | None:
            own = best(rows, value, layer, MIN_SPLIT)
            return (float(own[1]), f"{own[0]:.1f} ms") if own else None

        name = "ScissionTL" if layer == "maxpool" else "Scission"
        found.append(Claim(f"Sec. 4.2: best cut from {MIN_SPLIT} on, GPU-GPU, {name}", cut, by_kind(ratio), "not run"))
    return found


def claim_table(found: Sequence[Claim], *, exact: bool = False) -> str:
    """Claims in Markdown."""
    shape = "{:g} ({})" if exact else "{:.2f} ({})"
    lines = [
        (
            claim.text,
            f"{claim.paper:g}",
            *(shape.format(*claim.found[kind]) if kind in claim.found else "–" for kind in KINDS),
            claim.verdict(exact=exact),
        )
        for claim in found
    ]
    return markdown(("claim", "paper", *KINDS, "carried by the released data"), lines)


def cell_table(cells: Cells) -> str:
    """What each configuration came to."""
    lines = []
    for sweep in SWEEPS:
        for hardware in CONFIGURATIONS:
            rows, record = cells.rows(sweep, hardware), cells.summary(sweep, hardware)
            if rows:
                lines.append((sweep, hardware, *_cell(rows, record)))
    header = (
        "model", "hardware", "device-only ms", "ScissionTL's best ms (cut)", "Scission's best ms (cut)", "MAPE %",
        "forecast MAPE %", "Eqs. 1-6 MAPE %", "replay off, p95 ms (device, edge)", "verdict",
    )  # fmt: skip
    return markdown(header, lines)


def _cell(rows: Sequence[Row], record: dict[str, Any]) -> tuple[str, ...]:
    measured = KINDS["measured"]
    whole = next((row.measured_ms for row in rows if row.key.candidate == "device-only"), None)
    bests = [best(rows, measured, layer) for layer in ("maxpool", "none")]
    off = [own["off_ms"]["p95"] for own in record["replay"].values()]
    return (
        "–" if whole is None else f"{whole:.1f}",
        *("–" if own is None else f"{own[0]:.1f} ({own[1]})" for own in bests),
        percent(record["mape"]),
        percent(record["forecast_mape"]),
        percent(record["paper_mape"]),
        ", ".join(f"{ms:.3f}" for ms in off),
        str(record["verdict"]),
    )


def report(folder: Path) -> str:
    """Everything, in Markdown."""
    cells = Cells(folder)
    return "\n".join(
        (
            "57 Mbit/s, 28 ms. Device and edge replayed from the authors' recordings; medians, times in ms.\n",
            cell_table(cells),
            claim_table(claims(cells)),
            claim_table(cut_claims(cells), exact=True),
        )
    )


def run(profiles: Path, folder: Path, samples: int | None) -> None:
    """Every sweep that is not finished; a failed cell is told by its own line."""
    for name, overrides in SWEEPS.items():
        arguments = ["experiment=table1", f"hardware.profiles={profiles}", f"hydra.sweep.dir={folder / name}"]
        arguments += [*overrides, *([f"measure.samples={samples}"] if samples else [])]
        subprocess.run([sys.executable, "run.py", *arguments], cwd=ROOT, check=False)


def main(arguments: list[str]) -> int:
    """0 where every cell is there, 1 where one is missing, 2 for a wrong call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=Path, help="folder of the authors' recordings")
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "table1")
    parser.add_argument("--samples", type=int, default=None, help="requests per candidate, 10 unless told")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if not options.table:
        if options.profiles is None or not options.profiles.is_dir():
            parser.error(f"--profiles {options.profiles}: no such folder; give a checkout of qub-blesson/ScissionTL")
        run(options.profiles.resolve(), folder, options.samples)
    text = report(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table1.md").write_text(text, encoding="utf-8")
    print(text)
    wanted = [("densenet169", name) for name in CONFIGURATIONS] + [("resnet101", name) for name in RECORDED_RESNET]
    return 0 if all(finished(folder / sweep / name) for sweep, name in wanted) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
