from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.report import sweep
from harness.results.records import CellWriter
from harness.results.schema import COLUMNS, PROVENANCE_COLUMNS, SWEEP_COLUMNS, Key, Row

SPEC = "bandwidth: {0}\nlatency: 28.0\nmodel:\n  name: densenet169\nhardware:\n  name: iiot\n"


def write_cell(
    folder: Path,
    *,
    bandwidth: float = 30.0,
    status: str = "ok",
    verdict: str | None = "pass",
    exit_code: int = 0,
    error: str = "",
    seed: int = 0,
) -> None:
    writer = CellWriter(folder)
    writer.splits([Row(Key("device-only"), measured_ms=900.0), Row(Key("split", 51, "maxpool"))])
    writer.summary({"mape": 0.012, "verdict": verdict, "sentence": "It is so.", "reasons": []})
    writer.status(status, verdict=verdict, error=error, exit_code=exit_code)
    (folder / "report.html").write_text("a page")
    (folder / "spec.yaml").write_text(SPEC.format(bandwidth))
    (folder / ".hydra").mkdir()
    overrides = [f"bandwidth={bandwidth}", f"+seed={seed}", "measure.samples=3"]
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_good_sweep(tmp_path: Path) -> None:
    for place, bandwidth in enumerate((30.0, 60.0)):
        write_cell(tmp_path / str(place), bandwidth=bandwidth, seed=place)
    summary = sweep.aggregate(tmp_path)
    assert (summary["verdict"], summary["exit_code"]) == ("pass", 0)
    assert [cell["mape"] for cell in summary["cells"]] == [0.012, 0.012]
    lines = results(tmp_path)
    assert tuple(lines[0]) == (*SWEEP_COLUMNS, "sweep.seed", *COLUMNS)
    assert [line["bandwidth_mbps"] for line in lines] == ["30.0", "30.0", "60.0", "60.0"]
    assert [line["sweep.seed"] for line in lines] == ["0", "0", "1", "1"]
    assert {(line["model"], line["hardware"], line["rtt_ms"]) for line in lines} == {("densenet169", "iiot", "28.0")}
    page = (tmp_path / "report.html").read_text()
    assert 'href="0/report.html"' in page
    assert page.index("Pass") < page.index("<table")
    assert json.loads((tmp_path / "summary.json").read_text())["schema_version"] == 1
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_what_was_replayed_is_told_in_the_table_of_the_sweep_too(tmp_path: Path) -> None:
    for place in (0, 1):
        write_cell(tmp_path / str(place), seed=place)
    CellWriter(tmp_path / "1").splits([Row(Key("device-only"), measured_ms=9.0, replayed=("device",))])
    sweep.aggregate(tmp_path)
    lines = results(tmp_path)
    assert tuple(lines[0])[-len(PROVENANCE_COLUMNS) :] == PROVENANCE_COLUMNS
    assert [line["replayed"] for line in lines] == ["", "", "device"]


def test_broken_cells_get_a_row_that_explains(tmp_path: Path) -> None:
    write_cell(tmp_path / "0")
    write_cell(tmp_path / "1", status="failed", verdict=None, exit_code=1, error="the edge <died>")
    write_cell(tmp_path / "2")
    (tmp_path / "2" / "splits.csv").write_text("what,is,this\n")
    (tmp_path / "10" / ".hydra").mkdir(parents=True)
    write_cell(tmp_path / "3")
    (tmp_path / "3" / "status.json").write_text('{"status": "o')
    write_cell(tmp_path / "4")
    (tmp_path / "4" / "spec.yaml").write_text("a: [")
    write_cell(tmp_path / "5", status="invalid", exit_code=1, error="the link was 20 % off")
    write_cell(tmp_path / "6")
    (tmp_path / "6" / "splits.csv").write_bytes(b"\xff\xfe\x00")
    write_cell(tmp_path / "7")
    (tmp_path / "7" / "summary.json").write_text("[1]")
    summary = sweep.aggregate(tmp_path)
    assert summary["exit_code"] == 1
    cells = {cell["name"]: cell for cell in summary["cells"]}
    assert list(cells) == ["0", "1", "2", "3", "4", "5", "6", "7", "10"]
    assert [name for name, cell in cells.items() if cell["status"] == "ok"] == ["0"]
    assert all(cell["error"] and "\n" not in cell["error"] for name, cell in cells.items() if name != "0")
    reasons = [line["infeasible_because"] for line in results(tmp_path) if not line["candidate"]]
    assert len(reasons) == 8
    assert reasons[0] == "cell 1 failed: the edge <died>"
    assert "killed" in reasons[-1]
    assert 'href="10/' not in (tmp_path / "report.html").read_text()
    assert "the edge &lt;died&gt;" in (tmp_path / "report.html").read_text()


def test_junit_says_failure_error_and_skipped(tmp_path: Path) -> None:
    write_cell(tmp_path / "0")
    write_cell(tmp_path / "1", verdict="fail", exit_code=3)
    write_cell(tmp_path / "2", verdict="inconclusive", exit_code=4)
    write_cell(tmp_path / "3", status="failed", verdict=None, exit_code=1, error="bad \x00 <byte>")
    summary = sweep.aggregate(tmp_path)
    assert (summary["verdict"], summary["exit_code"]) == ("fail", 1)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.attrib | {"name": ""} == {
        "name": "",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    kinds = [[child.tag for child in case] for case in suite]
    assert kinds == [["system-out"], ["failure"], ["skipped"], ["error"]]
    assert suite[3][0].get("message") == "bad \ufffd <byte>"


@pytest.mark.parametrize(
    ("codes", "whole"),
    [([0, 0], 0), ([0, 4], 4), ([4, 3], 3), ([3, 1], 1), ([1, 2], 2), ([2, 130], 130), ([0, 77], 1), ([], 1)],
)
def test_the_first_exit_code_that_applies(tmp_path: Path, codes: list[int], whole: int) -> None:
    for place, code in enumerate(codes):
        write_cell(tmp_path / str(place), exit_code=code)
    assert sweep.aggregate(tmp_path)["exit_code"] == whole


def test_an_interrupted_cell_stays_interrupted(tmp_path: Path) -> None:
    write_cell(tmp_path / "0", status="interrupted", verdict=None, exit_code=130, error="interrupted")
    summary = sweep.aggregate(tmp_path)
    assert (summary["exit_code"], summary["cells"][0]["status"]) == (130, "interrupted")


def test_the_page_of_24_cells_is_small(tmp_path: Path) -> None:
    for place in range(24):
        write_cell(tmp_path / str(place), bandwidth=30.0 + place, error="" if place % 5 else "a long reason " * 20)
    sweep.aggregate(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
