"""Writes down what the bars of the link came out as: ``experiments/link_bars/results.json`` and ``results.md``.

One bar can be repeated: a later figure of a case stands beside the earlier ones, and the table takes the worst, so that
nothing is measured away.
"""

import json
import os
import platform
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "experiments" / "link_bars"
SCHEMA_VERSION = 1

_HEADER = """# The bars of the link

Written by `python -m pytest tests/benchmarks/test_benchmark_link.py -m slow`; every figure with its case, host and
time is in `results.json`. The worst case of each bar, over every time that it was measured:

| bar | backend | worst figure | allowed | worst case | cases that pass |
|---|---|---|---|---|---|
"""


def note(bar: str, backend: str, case: str, figure: float, allowed: float, unit: str, **detail: Any) -> bool:
    """Write one figure down; returns whether it is at most what is allowed.

    Args:
        bar: what is asked, the same words for all its cases.
        backend: of the link.
        case: which link, which size.
        figure, allowed: in ``unit``; a figure passes when it does not exceed what is allowed.
        unit: of both.
        detail: whatever else belongs to the figure.
    """
    row = {
        "bar": bar,
        "backend": backend,
        "case": case,
        "figure": round(figure, 4),
        "allowed": round(allowed, 4),
        "unit": unit,
        "passed": figure <= allowed,
        "earlier": [],
        "detail": detail,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2),
        **_host(),
    }
    rows = []
    for other in _read():
        if (other["bar"], other["backend"], other["case"]) == (bar, backend, case):
            row["earlier"] = [*other["earlier"], other["figure"]]
        else:
            rows.append(other)
    rows.append(row)
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {"schema_version": SCHEMA_VERSION, "bars": rows}
    _write(FOLDER / "results.json", json.dumps(document, indent=1) + "\n")
    _write(FOLDER / "results.md", table(rows))
    print(f"\n{bar} | {backend} | {case}: {figure:.3g} {unit}, allowed {allowed:.3g} {detail or ''}", end="")
    return figure <= allowed


def table(rows: list[dict[str, Any]]) -> str:
    """One line a bar and backend, with its worst case."""
    lines = []
    counted = Counter((row["bar"], row["backend"]) for row in rows)
    for (bar, backend), count in counted.items():
        cases = [row for row in rows if (row["bar"], row["backend"]) == (bar, backend)]
        worst = max(cases, key=lambda row: _worst(row) / row["allowed"] if row["allowed"] else _worst(row))
        passed = sum(_worst(row) <= row["allowed"] for row in cases)
        lines.append(
            f"| {bar} | {backend} | {_worst(worst):.3g} {worst['unit']} | {worst['allowed']:.3g} {worst['unit']} "
            f"| {worst['case']} | {passed} of {count} |"
        )
    hosts = sorted({f"{row['cpu']}, {row['cores']} cores, Linux {row['kernel']}" for row in rows})
    busiest = max((row["load"] for row in rows), default=0.0)
    return _HEADER + "\n".join(lines) + f"\n\nMeasured on {'; '.join(hosts)}; load average at most {busiest:.2f}.\n"


def _worst(row: dict[str, Any]) -> float:
    return float(max(row["figure"], *row["earlier"])) if row["earlier"] else float(row["figure"])


def _host() -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    git = ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"]
    return {
        "cpu": models[0].split(":")[1].strip() if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "git": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
    }


def _read() -> list[dict[str, Any]]:
    path = FOLDER / "results.json"
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text())["bars"]
    return rows


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(path.suffix + ".new")
    new.write_text(text)
    new.replace(path)
