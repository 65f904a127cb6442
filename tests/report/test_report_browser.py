"""Our pages in a real browser: no error, no request to anywhere, tables that sort and filter, sliders that tell what
the harness predicted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from harness.report.cell import write_report
from harness.report.sweep import aggregate
from harness.results.lookup import Lookup
from harness.results.records import CellWriter
from tests.validation.synthetic_cell import make_cell

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="chromium is not installed: sh tests/report/install_browser.sh, as root"
    ),
]
RATES, ROUND_TRIPS = (10.0, 57.0, 200.0), (0.0, 28.0)
#: What a user would do, on the page itself; what came of it is left in an element that the test reads.
DRIVE = """
<script>
window.addEventListener("load", () => {
  const seen = {errors: window.errors, sliders: [], sorted: [], filtered: [], fetched: []};
  const first = (table) => [...document.querySelectorAll(`#${table} tbody tr`)]
    .filter((row) => !row.hidden).map((row) => row.dataset.key ?? row.cells[0].textContent);
  const [b, r] = ["bandwidth", "rtt"].map((name) => document.getElementById(`slider-${name}`));
  if (b) {
    seen.start = [b.value, r.value];
    for (let i = 0; i <= Number(b.max); i++) for (let j = 0; j <= Number(r.max); j++) {
      b.value = i; r.value = j; b.dispatchEvent(new Event("input"));
      const values = {};
      for (const row of document.querySelectorAll("#candidates tbody tr"))
        values[row.dataset.key] = row.querySelector("td.looked-up").textContent;
      seen.sliders.push({rate: document.getElementById("shown-bandwidth").textContent,
        rtt: document.getElementById("shown-rtt").textContent, values,
        best: document.getElementById("slider-best").dataset.key});
    }
  }
  const table = document.querySelector("table.sortable").id;
  for (const button of document.querySelectorAll(`#${table} th button`)) {
    button.click(); const up = first(table); button.click();
    seen.sorted.push({name: button.textContent, up, down: first(table)});
  }
  const filter = document.querySelector("input[type=search]");
  filter.value = "maxpool 51"; filter.dispatchEvent(new Event("input"));
  seen.filtered = first(table);
  seen.fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
  const out = document.createElement("pre"); out.id = "seen"; out.textContent = JSON.stringify(seen);
  document.body.append(out);
});
</script>
"""
WATCH = "<script>window.errors = []; window.onerror = (message) => window.errors.push(message);</script>"


@dataclass(frozen=True)
class Opened:
    """What the page did, and what the browser said on its console."""

    seen: dict[str, Any]
    console: list[str]


def open_page(page: Path, folder: Path) -> Opened:
    """Open a copy that drives itself. Chromium's own sandbox needs what a container may not give; the page is ours."""
    copy = folder / "driven.html"
    text = page.read_text(encoding="utf-8")
    copy.write_text(
        text.replace("<head>", f"<head>{WATCH}", 1).replace("</body>", f"{DRIVE}</body>", 1), encoding="utf-8"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(json.loads(unescape(found[1])), console)


def write_cell(folder: Path) -> Lookup:
    cell = make_cell()
    keys = tuple(row.key for row in cell.rows)
    lookup = Lookup(
        RATES,
        ROUND_TRIPS,
        keys,
        tuple(
            tuple(tuple(round(100 + 7.3 * n + 500 / rate + rtt, 3) for rtt in ROUND_TRIPS) for rate in RATES)
            for n in range(len(keys))
        ),
    )
    writer = CellWriter(folder)
    writer.splits(cell.rows)
    writer.lookup(lookup)
    requested = {"rate_up_mbps": 57.0, "rtt_ms": 28.0}
    writer.summary(cell.summary | {"verdict": "pass", "link": {"requested": requested, "achieved": requested}})
    writer.environment({"cpu": "one"})
    writer.status("ok", verdict="pass")
    write_report(folder, title="a cell", command="python run.py", formats=["svg"])
    return lookup


def test_a_cells_page(tmp_path: Path) -> None:
    lookup = write_cell(tmp_path / "cell")
    opened = open_page(tmp_path / "cell" / "report.html", tmp_path)
    assert opened.console == []
    assert opened.seen["errors"] == []
    assert opened.seen["fetched"] == []
    # The sliders start at the cell's own link and tell, at every step, what the harness wrote down.
    assert opened.seen["start"] == ["1", "1"]
    rows = {row.key: row for row in make_cell().rows}
    steps = [(b, r) for b in range(len(RATES)) for r in range(len(ROUND_TRIPS))]
    for (b, r), shown in zip(steps, opened.seen["sliders"], strict=True):
        assert (shown["rate"], shown["rtt"]) == (f"{RATES[b]:g} Mbit/s", f"{ROUND_TRIPS[r]:g} ms")
        totals = {key: times[b][r] for key, times in zip(lookup.keys, lookup.total_ms, strict=True)}
        assert {key: float(text) for key, text in shown["values"].items()} == pytest.approx(
            {str(key): ms for key, ms in totals.items()}, abs=0.05001
        )
        assert shown["best"] == str(
            min((key for key in totals if rows[key].feasible), key=lambda key: totals[key] or 0)
        )
    sorted_by = {each["name"]: each for each in opened.seen["sorted"]}
    own = sorted((row for row in rows.values() if row.measured_ms), key=lambda row: round(row.measured_ms or 0, 1))
    assert sorted_by["measured"]["up"][0] == str(own[0].key)
    assert sorted_by["measured"]["down"][0] == str(own[-1].key)
    assert opened.seen["filtered"]
    assert all("maxpool" in key for key in opened.seen["filtered"])


def test_a_sweeps_page(tmp_path: Path) -> None:
    for number in range(3):
        write_cell(tmp_path / "sweep" / str(number))
    aggregate(tmp_path / "sweep")
    opened = open_page(tmp_path / "sweep" / "report.html", tmp_path)
    assert opened.console == []
    assert opened.seen["errors"] == opened.seen["fetched"] == []
    assert len(opened.seen["sorted"][0]["up"]) == 3
