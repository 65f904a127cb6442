"""Does the gate reject good work, and does it see planted faults? CI's validation again and again, one table.

    python experiments/gate_power.py [--runs 20] [--folder FOLDER] [--minutes N] [--anew] [--table]

Each run is CI's own (.ci/run): profiled anew, measured over a shaped link against a real Triton, with
`gate.selftest=true`, which also judges the run as it is. What a run came to is put on record in
`experiments/records/gate_power.jsonl`; a run that is there is not repeated, but with `--anew` in a new `--folder`.
`--minutes` starts none later than that, `--table` runs none. The table goes to the console and to
`experiments/records/gate_power.md`. Ends with 1 where a run was rejected that has no fault, or a planted fault was not
caught.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import Cell, guarded, markdown, percent, summary
from experiments.ledger import Ledger, parser
from harness.validation.faults import FAULTS

#: The arguments of the validation in .ci/run.
CI_VALIDATION = (
    "model=mobilenetv2",
    "measure.samples=8",
    "measure.spread=8",
    "profile.rounds=8",
    "profile.refresh=true",
    "gate=ci",
    "gate.selftest=true",
)


def plan(runs: int, folder: Path) -> list[Cell]:
    """The repetitions, each with a seed and a folder for its profiles of its own."""
    return [
        Cell(f"run-{number:02d}", (*CI_VALIDATION, f"seed={number}", f"profile.dir={folder / 'profiles'}"))
        for number in range(1, runs + 1)
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: the runs as they are, then each fault."""
    verdicts = Counter(record["verdict"] for record in records)
    rows = [["no fault", str(len(records)), *(str(verdicts[name]) for name in ("pass", "inconclusive", "fail")), "-"]]
    for fault in FAULTS:
        results = [each for record in records for each in record["selftest"] if each["fault"] == fault]
        seen = Counter(each["verdict"] for each in results)
        caught = sum(each["caught"] for each in results)
        counts = [str(seen[name]) for name in ("pass", "inconclusive", "fail")]
        rows.append([fault, str(len(results)), *counts, f"{caught} of {len(results)}"])
    worst = max((record["noise_floor"] for record in records), default=None)
    drift = max((abs(record["drift"]) for record in records), default=None)
    mapes = sorted(record["mape"] for record in records)
    lines = markdown(["planted", "runs", "pass", "inconclusive", "fail", "caught"], rows)
    if mapes:
        lines += (
            f"\nMAPE {percent(mapes[0])} to {percent(mapes[-1])} %; largest noise floor {percent(worst)} %, "
            f"largest |drift| {percent(drift)} %.\n"
        )
    return lines


def held(records: Sequence[dict[str, Any]]) -> bool:
    """No run rejected without a fault, and every fault caught in every run."""
    rejected = any(record["verdict"] == "fail" for record in records)
    return bool(records) and not rejected and all(each["caught"] for record in records for each in record["selftest"])


def outcome(record: dict[str, Any]) -> dict[str, Any]:
    """What of a `summary.json` the table needs."""
    faults = [{name: each[name] for name in ("fault", "verdict", "caught")} for each in record["selftest"]]
    kept = {name: record[name] for name in ("verdict", "reasons", "mape", "noise_floor", "drift", "forecast_mape")}
    return {**kept, "selftest": faults}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where it holds (see above), 1 where it does not, 2 for a wrong call."""
    options = parser(__doc__, "gate_power")
    options.add_argument("--runs", type=int, default=20, help="repetitions of CI's validation")
    given = options.parse_args(arguments)
    ledger = Ledger.of("gate_power")
    cells = plan(given.runs, given.folder)
    ledger.measure(cells, given, lambda _, folder: outcome(summary(folder)))
    records = list(ledger.found(cell.name for cell in cells).values())
    text = table(records)
    title = f"# Does the gate reject good work, does it see faults?\n\nMeasured on {'; '.join(ledger.hosts())}.\n\n"
    ledger.publish(title + text)
    print(f"\n{text}")
    return 0 if held(records) else 1


if __name__ == "__main__":
    guarded(main)
