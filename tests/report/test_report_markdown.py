"""The summary for the page of a CI job."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report import markdown, sweep
from tests.report.test_report_sweep import write_cell


def test_a_sweep_has_a_line_a_cell_and_the_reasons(tmp_path: Path) -> None:
    write_cell(tmp_path / "0")
    write_cell(tmp_path / "1", status="failed", verdict=None, exit_code=1, error="<img src=x> a|b *c*")
    sweep.aggregate(tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert text.splitlines()[0].endswith(": 1 pass, 1 broken")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.count(" | ") for line in table}) == 1
    assert "- 1: &lt;img src=x&gt; a\\|b \\*c\\*" in text


def test_a_cell_is_announced_where_a_job_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cell(tmp_path / "cell")
    page = tmp_path / "page.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    markdown.write(tmp_path / "cell", announce=True)
    assert page.read_text() == "before\n" + (tmp_path / "cell" / "summary.md").read_text()
    assert "It is so." in page.read_text()
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    markdown.write(tmp_path / "cell", announce=True)
    assert page.read_text().count("###") == 1
