"""The paper's Table 1 and the ratios it claims, beside what its authors' released recordings give here.

    python experiments/table1.py --profiles FOLDER [--folder FOLDER] [--samples N] [--table]

FOLDER of the recordings is a checkout of qub-blesson/ScissionTL, e.g. ../shared/scissiontl. Runs `experiment=table1`
(DenseNet169 on all six configurations), the same with the edge under Triton, and ResNet101 as far as it was recorded:
some fifteen minutes. Every time of device and edge is replayed from the recordings; tensors, link and server are real.
What is finished is kept; `--table` runs nothing. The tables go to the console and to FOLDER/table1.md.

The claims are those of `claims.yaml` that these cells can answer; `python run.py mode=repro` has all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import ROOT, finished, guarded, markdown, percent, summary
from harness.report import claims
from harness.results.records import read_splits
from harness.results.schema import Row
from harness.validation.statistics import best_split

CLAIMS = ROOT / "experiments" / "claims.yaml"
CONFIGURATIONS = (
    "cpu_device", "gpu_device", "cpu_device-cpu_edge", "cpu_device-gpu_edge", "gpu_device-cpu_edge",
    "gpu_device-gpu_edge",
)  # fmt: skip
RECORDED_RESNET = ("gpu_device", "gpu_device-cpu_edge", "gpu_device-gpu_edge")
RECORDED_TRITON = ("cpu_device-gpu_edge", "gpu_device-gpu_edge")
#: Cuts of ResNet101 at which both are measured: the first, from 5 on, early, middle and late ones.
RESNET_CUTS = "[1,5,17,49,79,141,251,333]"
#: By folder, which is the experiment's name in `claims.yaml`: what is given to run.py beside `experiment=table1`.
SWEEPS: dict[str, tuple[str, ...]] = {
    "table1": (),
    "table1-triton": (
        f"hardware={','.join(RECORDED_TRITON)}",
        "hardware.edge.runtime=triton",
        "report.figures=null",
    ),
    "table1-resnet101": (
        "model=resnet101",
        f"hardware={','.join(RECORDED_RESNET)}",
        f"measure.splits={RESNET_CUTS}",
        "report.figures=null",
    ),
}


def outcomes(folder: Path) -> list[claims.Outcome]:
    """The claims that name one of these sweeps, computed from the cells below `folder`."""
    own = [
        claim
        for claim in claims.read(CLAIMS)
        if any(set(selection.experiment) & SWEEPS.keys() for selection in claim.compute.selections)
    ]
    return claims.evaluate(own, [folder])


def cell_table(folder: Path) -> str:
    """What each configuration came to."""
    lines = []
    for sweep in SWEEPS:
        for hardware in CONFIGURATIONS:
            cell = folder / sweep / hardware
            if finished(cell):
                lines.append((sweep, hardware, *_cell(read_splits(cell), summary(cell))))
    header = (
        "sweep", "hardware", "device-only ms", "ScissionTL's best ms (cut)", "Scission's best ms (cut)", "MAPE %",
        "forecast MAPE %", "Eqs. 1-6 MAPE %", "replay off, p95 ms (device, edge)", "verdict",
    )  # fmt: skip
    return markdown(header, lines)


def _cell(rows: Sequence[Row], record: dict[str, Any]) -> tuple[str, ...]:
    whole = next((row.measured_ms for row in rows if row.key.candidate == "device-only"), None)
    bests = [
        best_split([row for row in rows if row.key.transfer_layer == layer], lambda row: row.measured_ms, 0)
        for layer in ("maxpool", "none")
    ]
    off = [own["off_ms"]["p95"] for own in record["replay"].values()]
    return (
        "–" if whole is None else f"{whole:.1f}",
        *("–" if row is None else f"{row.measured_ms:.1f} ({row.key.split})" for row in bests),
        percent(record["mape"]),
        percent(record["forecast_mape"]),
        percent(record["paper_mape"]),
        ", ".join(f"{ms:.3f}" for ms in off),
        str(record["verdict"]),
    )


def report(folder: Path) -> str:
    """Everything, in Markdown."""
    return "\n".join(
        (
            "57 Mbit/s, 28 ms. Device and edge replayed from the authors' recordings; medians, times in ms.\n",
            cell_table(folder),
            claims.table(outcomes(folder)),
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
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs", help="of the sweeps")
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
    wanted = {"table1": CONFIGURATIONS, "table1-triton": RECORDED_TRITON, "table1-resnet101": RECORDED_RESNET}
    return 0 if all(finished(folder / sweep / name) for sweep, names in wanted.items() for name in names) else 1


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
