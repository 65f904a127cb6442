"""JUnit XML for CI: one testcase a cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from harness.report.style import percent
from harness.results.cells import Cell

#: XML 1.0 section 2.2: every other control character makes a document that no parser reads.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def outcome(cell: Cell) -> str | None:
    """`failure` when the gate failed, `error` when the cell did, `skipped` when undecided; else None."""
    if cell.status != "ok":
        return "error"
    return {"fail": "failure", "inconclusive": "skipped"}.get(cell.verdict or "")


def junit_xml(cells: Sequence[Cell], *, suite: str = "sweep") -> str:
    """The document as text, its declaration included."""
    outcomes = [outcome(cell) for cell in cells]
    root = ElementTree.Element(
        "testsuite",
        name=_clean(suite),
        tests=str(len(cells)),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped")),
    )
    for cell, kind in zip(cells, outcomes, strict=True):
        case = ElementTree.SubElement(
            root, "testcase", classname=_clean(_class_name(cell)), name=_clean(_case_name(cell))
        )
        if kind:
            reasons = _reasons(cell)
            element = ElementTree.SubElement(case, kind, message=_clean(reasons[0]))
            element.text = _clean("\n".join(reasons))
        elif cell.summary.get("sentence"):
            mape = percent(cell.summary.get("mape"))
            ElementTree.SubElement(case, "system-out").text = _clean(f"{cell.summary['sentence']} MAPE {mape}.")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _reasons(cell: Cell) -> list[str]:
    listed = [str(reason) for reason in cell.summary.get("reasons") or ()]
    return ([cell.error] if cell.error else []) + listed or [f"{cell.status}, {cell.verdict or 'no verdict'}"]


def _class_name(cell: Cell) -> str:
    return ".".join(part for part in (cell.model, cell.hardware) if part) or "cell"


def _case_name(cell: Cell) -> str:
    """Its overrides, which are what the user typed; the folder's name keeps it unique."""
    typed = ",".join(f"{key}={value}" for key, value in cell.overrides.items())
    return f"{cell.name}: {typed}" if typed else cell.name


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
