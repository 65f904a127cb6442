"""Every part of a running cell killed at random moments, again and again: does it say so, lose nothing, leave nothing?

    python experiments/kills.py [--kills 20] [--parts harness,agent,...] [--minutes N] [--anew] [--table]

SIGKILL for the harness, the device's agent, the relay of the link, tritonserver and its python stub, each --kills
times, at a moment that is uniform over a run. Each run is a real cell over a shaped link against a real Triton. What
became of it is put on record in `experiments/records/kills.jsonl`; a kill that is there is not repeated, but with
`--anew`. `--minutes` starts none later than that, `--table` runs none. The table goes to the console and to
`experiments/records/kills.md`. Ends with 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded, markdown
from experiments.ledger import Ledger
from tests.faults.conftest import prepare
from tests.faults.kills import CELL, PARTS, kill
from tests.runs import Host


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a part, then what was wrong."""
    rows = []
    for part in PARTS:
        own = [record for record in records if record["part"] == part]
        struck = [record for record in own if record["struck_after_s"] is not None]
        ended = sorted(record["ended_after_s"] for record in struck if record["ended_after_s"] is not None)
        rows.append(
            [
                part,
                str(len(struck)),
                str(sum(record["code"] == 1 for record in struck)),
                str(sum(record["code"] in (0, 3, 4) for record in struck)),
                f"{median(ended):.1f}, {ended[-1]:.1f}" if ended else "",
                str(sum(bool(record["wrong"]) for record in own)),
            ]
        )
    header = ["killed", "times", "cell failed", "cell was done", "ended after (median, most), s", "something wrong"]
    wrong = [f"- {record['part']}, {record['while_it_said']}: {line}" for record in records for line in record["wrong"]]
    return "\n".join([markdown(header, rows), *wrong])


def main(argv: Sequence[str] | None = None) -> int:
    """0 where nothing on record was wrong, 1 where anything was, 2 for a wrong call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each part")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated")
    parser.add_argument("--minutes", type=float, help="start none later than this")
    parser.add_argument("--anew", action="store_true", help="repeat also what is on record")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(argv)
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))}; allowed: {', '.join(PARTS)}")
    ledger = Ledger.of("kills")
    plan = [(f"{part} {number:02d}", part, number) for number in range(1, options.kills + 1) for part in parts]
    known = {} if options.anew else ledger.found(name for name, _, _ in plan)
    todo = [] if options.table else [each for each in plan if each[0] not in known]
    if todo:
        _run(todo, ledger, options.minutes)
    text = table(list(ledger.found(name for name, _, _ in plan).values()))
    print(text)
    ledger.publish(
        f"# Parts of a running cell, killed\n\nWritten by `python experiments/kills.py`; each kill is in `kills.jsonl`."
        f"\n\n{text}\n\nOn {'; '.join(ledger.hosts())}.\n"
    )
    return 1 if any(record["wrong"] for record in ledger.all().values()) else 0


def _run(todo: Sequence[tuple[str, str, int]], ledger: Ledger, minutes: float | None) -> None:
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        host, usual_s = prepare(Host(tmp, tmp / "profiles", CELL))
        for name, part, seed in todo:
            if minutes is not None and time.monotonic() - started_s > 60 * minutes:
                print(f"{name}: left for the next call", flush=True)
                break
            outcome = kill(host, tmp / name.replace(" ", "_"), part, usual_s, seed)
            ledger.add(name, outcome.as_dict(), tmp / name.replace(" ", "_"))
            print(
                f"{name}: exit {outcome.code}: {'; '.join(outcome.wrong) or outcome.error or 'nothing left'}",
                flush=True,
            )


if __name__ == "__main__":
    guarded(main)
