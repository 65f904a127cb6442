"""What an experiment has found so far, a line a cell, kept in `experiments/records/`: a table outlives its cells.

A long experiment is measured over days, and on a host that is lent for hours. Each line names the commit, the host and
the hour that it was measured in. A cell that is measured again gets another line: its last one counts, and the table
says how many were measured more than once, so that nobody can measure until it pleases.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.cells import ROOT, Cell, run_all
from harness.results.records import write_atomic
from harness.testbed import host

RECORDS = Path(__file__).resolve().parent / "records"
SCHEMA_VERSION = 1


def parser(told: str | None, experiment: str) -> argparse.ArgumentParser:
    """The options of an experiment whose cells are put on record: `folder` (absolute), `minutes`, `anew`, `table`.

    Args:
        told: what `--help` says: the module's docstring.
        experiment: names the folder of the cells below outputs/.
    """
    made = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = ROOT / "outputs" / experiment
    made.add_argument("--folder", type=lambda text: Path(text).resolve(), default=folder, help="of the cells")
    made.add_argument("--minutes", type=float, default=None, help="start no cell later than this")
    made.add_argument(
        "--anew", action="store_true", help="measure also what is on record; what the folder holds finished stays"
    )
    made.add_argument("--table", action="store_true", help="run nothing")
    return made


@dataclass(frozen=True)
class Ledger:
    """The lines of one experiment.

    path: a JSON-lines file, made with its first line.
    """

    path: Path

    @classmethod
    def of(cls, experiment: str) -> Ledger:
        """The one in the repository."""
        return cls(RECORDS / f"{experiment}.jsonl")

    def found(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What is on record of these cells, in the order of `names`.

        Raises:
            ValueError: a line of the file is none of ours.
        """
        known = self.all()
        return {name: known[name] for name in names if name in known}

    def all(self) -> dict[str, dict[str, Any]]:
        """What is on record, in the order in which it came. Raises ValueError as `found`."""
        return {line["name"]: line["found"] for line in self._lines()}

    def add(self, name: str, found: dict[str, Any], folder: Path) -> None:
        """Put a cell on record; `folder` is its own, whose `env.json` says where it was measured (none: here, now).

        What is its last line already is not told twice. The file is replaced as a whole, so that a crash leaves the old
        one.
        """
        lines = self._lines()
        before = [line for line in lines if line["name"] == name]
        if before and before[-1]["found"] == json.loads(json.dumps(found)):
            return
        lines.append({"schema_version": SCHEMA_VERSION, "name": name, **_where(folder), "found": found})
        write_atomic(self.path, "".join(json.dumps(each) + "\n" for each in lines))

    def measure(
        self, cells: Sequence[Cell], options: argparse.Namespace, found: Callable[[Cell, Path], dict[str, Any]]
    ) -> None:
        """Run the cells that are not on record, and put each that finished on record at once.

        Args:
            options: of `parser`; with `table` nothing is run, with `anew` also what is on record.
            found: what of a finished cell, whose folder it is given, goes on record.
        """
        if options.table:
            return
        known = {} if options.anew else self.found(cell.name for cell in cells)
        missing = [cell for cell in cells if cell.name not in known]
        for cell in run_all(missing, options.folder, minutes=options.minutes):
            self.add(cell.name, found(cell, options.folder / cell.name), options.folder / cell.name)

    def publish(self, text: str) -> None:
        """Put the experiment's table (Markdown) beside its lines; nothing where there are none yet."""
        if self.path.exists():
            again = sorted(name for name, times in Counter(line["name"] for line in self._lines()).items() if times > 1)
            told = f"\nMeasured more than once, the last time counts: {', '.join(again)}.\n" if again else ""
            write_atomic(self.path.with_suffix(".md"), text.rstrip("\n") + "\n" + told)

    def hosts(self) -> list[str]:
        """The machines that the lines come from, each once."""
        return sorted({line["host"] for line in self._lines()})

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = []
        for number, text in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                line = json.loads(text)
                lines.append({**line, "name": line["name"], "found": line["found"], "host": line["host"]})
                if line["schema_version"] != SCHEMA_VERSION:
                    raise ValueError(f"schema_version {line['schema_version']}")
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}, line {number}: {error!r}; allowed: lines of schema_version {SCHEMA_VERSION}"
                ) from error
        return lines


def _where(folder: Path) -> dict[str, Any]:
    """When, where and with which code a cell was measured; without an `env.json` here and now."""
    try:
        env = json.loads((folder / "env.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        env = host.describe()
    git = env.get("git") or {}
    return {
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": f"{(git.get('sha') or 'unknown')[:12]}{' and changes' if git.get('dirty') else ''}",
        "host": f"{env.get('cpu') or 'unknown processor'}, {env.get('cores')} cores, Linux {env.get('kernel')}",
    }
