from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.errors import HarnessError
from harness.report.cell import write_report
from harness.report.html import cell_page
from harness.report.junit import junit_xml
from harness.report.page import data
from harness.results.cells import Cell
from harness.results.records import CellWriter
from harness.results.schema import Key, Row
from tests.validation.synthetic_cell import make_cell

EVIL = "<script>alert('x')</script>\" & co"


class Tags(HTMLParser):
    """Every element of a page, and whether each was closed in its turn."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


def test_everything_on_a_page_is_escaped() -> None:
    row = Row(Key("split", 3, EVIL, EVIL), layer=EVIL, feasible=False, infeasible_because=EVIL)
    page = cell_page(
        title=EVIL,
        rows=[row],
        summary={
            "sentence": EVIL,
            "reasons": [EVIL],
            "verdict": "fail",
            "kendall_tau": EVIL,
            "link": {"requested": {EVIL: EVIL}, "achieved": {EVIL: 1.0}, "backend": EVIL},
        },
        environment={EVIL: {EVIL: EVIL, "list": [EVIL]}},
        command=EVIL,
        status="failed",
        error=EVIL,
    )
    tags = parsed(page)
    assert tags.seen.count("script") == 1  # our own
    assert "alert('x')" not in page
    assert page.count("&lt;script&gt;") > 12


def test_no_text_ends_the_data_of_a_page() -> None:
    text = data("lookup", {"keys": ["</script><script>alert('x')</script>"], "<": EVIL})
    assert parsed(text).seen == ["script"]
    assert text.count("<") == 2


def test_a_cells_page_from_disk(tmp_path: Path) -> None:
    cell = make_cell()
    writer = CellWriter(tmp_path)
    writer.splits(cell.rows)
    link = {
        "requested": {"rate_mbps": 57.0},
        "achieved": {"rate_mbps": 56.8, "rtt_ms": 28.1},
        "backend": "relay",
    }
    writer.summary(cell.summary | {"verdict": "inconclusive", "reasons": ["drift is 20.0%"], "link": link})
    writer.environment({"host": {"cpu": "one of two"}})
    writer.status("ok", verdict="inconclusive")
    command = "python run.py bandwidth=57 'hardware=a b'"
    written = write_report(tmp_path, title="densenet169, 57 Mbit/s", command=command)
    assert [path.name for path in written] == ["cuts.svg", "cuts.png", "errors.svg", "errors.png", "report.html"]
    page = written[-1].read_text()
    tags = parsed(page)
    assert tags.seen.count("svg") == 2
    assert not any(re.match("https?:|//", value or "") for name, value in tags.attributes if name in {"src", "href"})
    body = page[page.index("<body>") :]
    places = [
        body.index(text)
        for text in (
            "Inconclusive",
            "densenet169, 57",
            "drift is 20.0%",
            "56.8",
            "<svg",
            "split 51",
            "python run.py",
        )
    ]
    assert places == sorted(places)
    assert "one of two" in body
    assert "@media print" in page


def test_a_cell_that_only_predicted_has_a_page(tmp_path: Path) -> None:
    CellWriter(tmp_path).splits(make_cell(samples=0).rows)
    write_report(tmp_path, title="t", command="c", formats=["svg"])
    parsed((tmp_path / "report.html").read_text())


def test_a_cell_without_rows_says_so(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="does not exist"):
        write_report(tmp_path, title="t", command="c")


def test_the_format_of_junit_xml() -> None:
    identity = {"folder": Path(), "model": "densenet169", "hardware": "iiot"}
    cells = [
        Cell("0", status="ok", verdict="pass", summary={"sentence": "Best.", "mape": 0.01}, **identity),
        Cell("1", status="ok", verdict="fail", summary={"reasons": ["mape is 20.0%", "b"]}, **identity),
        Cell("2", status="invalid", error="rate 20 % off", overrides={"bandwidth": "30"}, **identity),
        Cell("3", status="ok", verdict="inconclusive", **identity),
    ]
    text = junit_xml(cells, suite="nightly")
    assert text == (Path(__file__).parent / "golden_junit.xml").read_text()
    ElementTree.fromstring(text)
