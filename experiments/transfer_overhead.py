"""What a transfer layer costs at every cut as a share of the whole request, on both tiers together.

    python run.py mode=profile model=densenet169 hardware=local hydra.run.dir=CELL
    python experiments/transfer_overhead.py CELL [CELL ...]

Each CELL is a folder with `splits.csv` and `spec.yaml`, of any mode: the times are those predicted from its profile
(`calibrated`: DeviceTL and EdgeTL as a request has them, in its own order behind a cold head), and measured ones beside
them where there are any. The bound is for `maxpool` in float32 (the paper, section 4: at most 2.5 ms on a TX2's CPU,
0.3 ms on its GPU, 0.2 ms on an edge GPU); ends with 1 if it is broken at any cut.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded
from harness.results.records import read_splits
from harness.results.schema import Row
from harness.transfer.encoding import Encoding

#: Largest share of a request that the paper's transfer layer may take at any cut.
BOUND = 0.02
BOUNDED = Encoding("maxpool")


@dataclass(frozen=True)
class Overhead:
    """A transfer layer at one cut. Times in ms, `share` a fraction of the request."""

    split: int
    device_tl_ms: float
    edge_tl_ms: float
    total_ms: float

    @property
    def share(self) -> float:
        """Of the request, a fraction."""
        return (self.device_tl_ms + self.edge_tl_ms) / self.total_ms


def overheads(rows: list[Row], *, measured: bool = False) -> dict[Encoding, list[Overhead]]:
    """By encoding that has a transfer layer, its overhead at every cut where it is known, in the order of the cuts.

    Args:
        rows: of `splits.csv`.
        measured: of the measured terms and totals; else of the predicted (forecast, where no other is there).
    """
    found: dict[Encoding, list[Overhead]] = {}
    for row in sorted((row for row in rows if row.key.split is not None), key=lambda row: row.key):
        terms = row.measured_terms if measured else row.predicted_terms
        predicted_ms = row.predicted_ms if row.predicted_ms is not None else row.forecast_ms
        total_ms = row.measured_ms if measured else predicted_ms
        if row.key.split is not None and total_ms and "device_tl" in terms and "edge_tl" in terms:
            own = Overhead(row.key.split, terms["device_tl"], terms["edge_tl"], total_ms)
            found.setdefault(Encoding.of(row.key), []).append(own)
    return found


def main(folders: list[Path]) -> int:
    """Print the table of every cell; 0 if the bound holds in all, 1 where it does not or nothing knew the overhead."""
    held, known = True, 0
    for folder in folders:
        spec = yaml.safe_load((folder / "spec.yaml").read_text(encoding="utf-8"))
        pair = f"{spec['model']['name']} on {spec['hardware']['name']}"
        where = f"{pair}, {spec['bandwidth']:g} Mbit/s, {spec['latency']:g} ms"
        rows = read_splits(folder)
        for kind, found in (("predicted", overheads(rows)), ("measured", overheads(rows, measured=True))):
            if found:
                print(f"\n{folder}: {where}: {kind}")
                held &= _print(found)
                known += 1
    if not known:
        print("no candidate of these cells has a transfer layer whose times are known: nothing was checked")
    return 0 if held and known else 1


def _print(found: Mapping[Encoding, list[Overhead]]) -> bool:
    print(f"{'encoding':40} {'cuts':>5} {'DeviceTL (ms)':>16} {'EdgeTL (ms)':>16} {'median':>8} {'worst':>7}  at cut")
    held = True
    for encoding, own in found.items():
        worst = max(own, key=lambda each: each.share)
        middle = median(each.share for each in own)
        device, edge = ([getattr(each, name) for each in own] for name in ("device_tl_ms", "edge_tl_ms"))
        broken = encoding == BOUNDED and worst.share > BOUND
        held &= not broken
        print(
            f"{encoding!s:40} {len(own):5} {min(device):7.2f} ..{max(device):6.2f} {min(edge):7.2f} ..{max(edge):6.2f} "
            f"{middle:8.2%} {worst.share:7.2%}  {worst.split}" + (f": above the bound of {BOUND:.0%}" if broken else "")
        )
    return held


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    guarded(lambda: main([Path(name) for name in sys.argv[1:]]))
