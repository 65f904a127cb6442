"""What recorded cells say of the harness itself: the uplink against its bounds, the sum of the terms, and how far
two runs of the same experiment agree.

    python experiments/check_bars.py CELL [CELL ...]

Each CELL is a folder with `samples.jsonl`, `splits.csv`, `summary.json` and `spec.yaml`. Ends with 1 if a bound is
broken. With several cells, those of one experiment are compared in the order given.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded
from harness.results.records import read_json, read_samples, read_splits
from harness.results.schema import Key, Row

#: Bounds of the uplink at a measured `maxpool` cut, around payload x 8 / rate + half the round trip.
UPLINK_LOW, UPLINK_HIGH, UPLINK_HIGH_MS = 0.99, 1.10, 8.0
#: Share of a request that no term may leave unexplained.
OTHER_SHARE = 0.01


def main(folders: list[Path]) -> int:
    """Print every check; 0 if all hold."""
    held = True
    specs = [yaml.safe_load((folder / "spec.yaml").read_text(encoding="utf-8")) for folder in folders]
    for folder, spec in zip(folders, specs, strict=True):
        print(f"\n{folder}: {spec['model']['name']}, {spec['bandwidth']:g} Mbit/s, {spec['latency']:g} ms")
        held &= uplink_holds(folder, spec) & sums_close(folder)
    for (one, first), (other, second) in combinations(zip(folders, specs, strict=True), 2):
        if all(first[key] == second[key] for key in ("model", "hardware", "bandwidth", "latency")):
            held &= runs_agree(one, other)
    return 0 if held else 1


def uplink_holds(folder: Path, spec: dict[str, Any]) -> bool:
    """The uplink of every measured `maxpool` cut lies within its bounds."""
    held, ratios = True, []
    for row in read_splits(folder):
        uplink = row.measured_terms.get("uplink")
        if uplink is None or row.payload_bytes is None or row.key.transfer_layer != "maxpool":
            continue
        base = row.payload_bytes * 8 / (spec["bandwidth"] * 1e3) + spec["latency"] / 2
        ratios.append(uplink / base)
        if not UPLINK_LOW * base <= uplink <= UPLINK_HIGH * base + UPLINK_HIGH_MS:
            held = False
            print(f"  uplink of {row.key}: {uplink:.2f} ms is outside the bounds around {base:.2f} ms")
    if not ratios:
        print("  no uplink of a maxpool cut was measured: nothing to hold")
        return False
    print(f"  uplink / (payload x 8 / rate + RTT / 2) at {len(ratios)} cuts: {min(ratios):.3f} to {max(ratios):.3f}")
    return held


def sums_close(folder: Path) -> bool:
    """In every single request the terms and `other` are the total, and `other` is a small share of it."""
    samples = read_samples(folder)
    if not samples:
        print("  no request is in samples.jsonl: nothing to hold")
        return False
    gap = max(abs(sum(sample.terms.values()) + sample.other_ms - sample.total_ms) for sample in samples)
    share = max(abs(sample.other_ms) / sample.total_ms for sample in samples)
    print(f"  {len(samples)} requests: terms + other = total to {gap:.1e} ms; largest share of other {share:.2%}")
    return gap < 1e-6 and share < OTHER_SHARE


def runs_agree(one: Path, other: Path) -> bool:
    """Every cut that both measured differs by no more than their noise floors together."""
    floors = [read_json(folder / "summary.json").get("noise_floor") or 0.0 for folder in (one, other)]
    allowed = sum(floors)
    first, second = (measured(folder) for folder in (one, other))
    shared = [key for key in first if key in second]
    if not shared:
        print(f"\n{one} and {other} measured no candidate in common: nothing to hold")
        return False
    off = {key: (second[key].measured_ms or 0) / (first[key].measured_ms or 1) - 1 for key in shared}
    worst = max(off, key=lambda key: abs(off[key]))
    beyond = [key for key in shared if abs(off[key]) > allowed]
    print(f"\n{one} against {other}: noise floors {floors[0]:.2%} and {floors[1]:.2%}")
    mean = sum(abs(value) for value in off.values()) / len(off)
    print(f"  {len(shared)} candidates: mean |difference| {mean:.2%}, largest {off[worst]:+.2%} at {worst}")
    for key in beyond:
        print(f"  beyond the floors: {key} {off[key]:+.2%}")
    return not beyond


def measured(folder: Path) -> dict[Key, Row]:
    """The measured rows of a cell by key."""
    return {row.key: row for row in read_splits(folder) if row.measured_ms}


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if len(sys.argv) > 1 else 2)
    guarded(lambda: main([Path(argument) for argument in sys.argv[1:]]))
