"""Does a sweep survive? 24 real cells, killed with SIGKILL three times at random and started again; then two bad ones.

    python experiments/sweep_robustness.py [--folder FOLDER] [--kills 3] [--seed N]

The first sweep is 3 models x 2 bandwidths x 2 round trips x 2 seeds, each cell a validation over a shaped link against
a real Triton. Wanted: every cell exactly once, no finished work repeated, the aggregate right, its page below 3 MB. The
second has cells that cannot run and one that crashes beside a good one. Wanted: the good one's results, a row that
explains each of the others, exit code 1. What came out goes to the console, to `robustness.json` in the folder and on
record in `experiments/records/sweep_robustness.jsonl`. Ends with 1 where anything wanted is missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded, markdown
from experiments.ledger import Ledger
from harness.results import attempts, sweeps
from harness.results.cells import find_cells
from harness.spec import PROJECT

CELLS = 24
#: The largest page that opens at once, in bytes.
LARGEST_PAGE = 3_000_000
SWEEP = ("model=mobilenet,mobilenetv2,resnet50", "bandwidth=30,60", "latency=10,28", "seed=1,2")
#: As short as a real validation can be.
SHORT = (
    "measure.samples=3",
    "measure.spread=4",
    "measure.warmup=2",
    "profile.rounds=3",
    "profile.warmup=1",
    "gate.enabled=false",
)

_NETS = """\
import os, keras
from keras import layers


def good():
    picture = keras.Input((64, 64, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(picture)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    return keras.Model(picture, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def crashing():
    os.abort()
"""


def command(folder: Path, *arguments: str) -> list[str]:
    """A sweep as a user types it."""
    own = (f"hydra.sweep.dir={folder}", f"profile.dir={folder.parent / 'profiles'}")
    return [sys.executable, str(PROJECT / "run.py"), "-m", *arguments, *own]


def run_killed(folder: Path, arguments: tuple[str, ...], kills: int, generator: random.Random) -> tuple[int, list[str]]:
    """Start the sweep, kill it `kills` times at random moments while cells run, then let it end.

    Returns:
        Its exit code, and at which moment it was killed each time.
    """
    moments = []
    for number in range(kills):
        run = subprocess.Popen(command(folder, *arguments), start_new_session=True)
        wanted = (number + 1) * CELLS // (kills + 2)
        while run.poll() is None and _ended(folder) < wanted:
            time.sleep(0.2)
        time.sleep(generator.uniform(0, 20))
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)  # the launcher alone: what it started has to end by itself
        run.wait()
        moments.append(f"after {_ended(folder)} cells")
        time.sleep(3)
    return subprocess.run(command(folder, *arguments), check=False).returncode, moments


def _ended(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*/status.json"))


def troubles_of_the_killed(folder: Path, code: int) -> list[str]:
    """What is wrong with the sweep that was killed; nothing where it survived."""
    found = [] if code in (0, 3, 4) else [f"it ended with {code}"]
    cells = find_cells(folder)
    if len(cells) != CELLS or any(cell.status != "ok" for cell in cells):
        found.append(f"{len(cells)} cells, {Counter(cell.status for cell in cells)}")
    for cell in cells:
        tries = [each["status"] for each in attempts.read(cell.folder)]
        if tries != ["killed"] * (len(tries) - 1) + ["ok"]:
            found.append(f"cell {cell.name} was tried as {tries}")
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = Counter((row["model"], row["bandwidth_mbps"], row["rtt_ms"], row["sweep.seed"]) for row in rows)
    counts = {name: sum(1 for _ in (folder / name / "splits.csv").open()) - 1 for name in (cell.name for cell in cells)}
    if len(keys) != CELLS or sum(keys.values()) != sum(counts.values()):
        found.append(f"results.csv has {len(keys)} cells and {sum(keys.values())} rows of {sum(counts.values())}")
    if len(json.loads((folder / "summary.json").read_text())["cells"]) != CELLS:
        found.append("summary.json does not have every cell")
    size = (folder / "report.html").stat().st_size
    if size >= LARGEST_PAGE:
        found.append(f"report.html has {size} bytes")
    record = sweeps.read(folder)
    if record is None or sorted(record.sequence) != list(range(CELLS)):
        found.append("sweep.json does not have every cell")
    return found


def troubles_of_the_bad(folder: Path, code: int) -> list[str]:
    """The same of the sweep with a cell that cannot run and one that crashes."""
    found = [] if code == 1 else [f"it ended with {code}, not 1"]
    cells = find_cells(folder)
    bad = [cell for cell in cells if cell.status != "ok"]
    if len(cells) != 4 or len(bad) != 3 or not all(cell.error for cell in bad):
        found.append(f"cells: {[(cell.name, cell.status, cell.error) for cell in cells]}")
    with (folder / "results.csv").open(newline="") as file:
        explained = [row["infeasible_because"] for row in csv.DictReader(file) if not row["candidate"]]
    if len(explained) != 3:
        found.append(f"{len(explained)} rows explain a cell")
    return found


def run_bad(folder: Path, arguments: tuple[str, ...]) -> int:
    """Four cells: a good one, one whose model aborts the tier's process, and the same on a core that is not there.

    The last two cannot run; the second crashes half-way through a cell.
    """
    nets = folder.parent / "nets.py"
    nets.parent.mkdir(parents=True, exist_ok=True)
    nets.write_text(_NETS)
    swept = (f"model.factory={nets}:good,{nets}:crashing", "hardware.device.cpu=0,999")
    own = ("model=own", "model.name=toy", "model.input_shape=[64,64,3]")
    return subprocess.run(command(folder, *own, *swept, *arguments), check=False).returncode


def main() -> int:
    """0 where nothing wanted is missing, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PROJECT / "outputs" / "sweep_robustness", help="of the sweeps")
    parser.add_argument("--kills", type=int, default=3, help="of the first sweep")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    folder = options.folder.resolve()
    began = time.monotonic()
    code, moments = run_killed(folder / "killed", (*SWEEP, *SHORT), options.kills, random.Random(options.seed))
    troubles = troubles_of_the_killed(folder / "killed", code)
    minutes = (time.monotonic() - began) / 60
    bad_code = run_bad(folder / "bad", SHORT)
    troubles += [f"the sweep with bad cells: {each}" for each in troubles_of_the_bad(folder / "bad", bad_code)]
    record: dict[str, Any] = {
        "cores": os.cpu_count(),
        "minutes": round(minutes, 1),
        "killed": moments,
        "attempts": dict(Counter(cell.attempts for cell in find_cells(folder / "killed"))),
        "page_bytes": (folder / "killed" / "report.html").stat().st_size,
        "troubles": troubles,
    }
    (folder / "robustness.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    put_on_record(options.seed, record, folder)
    return 1 if troubles else 0


def put_on_record(seed: int, record: dict[str, Any], folder: Path) -> None:
    """A line for this run, and the table of all."""
    ledger = Ledger.of("sweep_robustness")
    ledger.add(f"seed {seed}", record, sorted((folder / "killed").glob("*/env.json"))[0].parent)
    rows = [
        [
            name,
            f"{found['minutes']:.0f}",
            ", ".join(found["killed"]),
            ", ".join(f"{count} in {tries}" for tries, count in found["attempts"].items()),
            f"{found['page_bytes'] / 1e3:.0f}",
            "; ".join(found["troubles"]) or "nothing",
        ]
        for name, found in ledger.all().items()
    ]
    header = ["random moments by", "minutes", "killed", "cells in tries", "page, kB", "anything wrong"]
    ledger.publish(
        "# A sweep of 24 cells, killed and started again\n\nWritten by `python experiments/sweep_robustness.py`, which "
        f"says what it does.\n\n{markdown(header, rows)}\nOn {'; '.join(ledger.hosts())}.\n"
    )


if __name__ == "__main__":
    guarded(main)
