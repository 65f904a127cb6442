"""What is on record of an experiment: kept, added to, and refused where it is none of ours."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from experiments.cells import Cell
from experiments.ledger import RECORDS, Ledger, parser


def env(folder: Path, **values: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "env.json").write_text(json.dumps(values))
    return folder


def test_a_cell_is_found_again_and_its_last_measurement_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "records" / "some.jsonl")
    assert ledger.found(["a"]) == {}
    here = env(tmp_path / "cell", cpu="A", cores=2, kernel="6.18", git={"sha": "0123456789abcdef", "dirty": True})
    ledger.add("b", {"mape": 0.02}, here)
    ledger.add("a", {"mape": 0.01}, here)
    ledger.add("b", {"mape": 0.03}, env(tmp_path / "other", cpu="B", cores=4, kernel="6.1"))
    assert ledger.found(["a", "b", "c"]) == {"a": {"mape": 0.01}, "b": {"mape": 0.03}}
    assert ledger.hosts() == ["A, 2 cores, Linux 6.18", "B, 4 cores, Linux 6.1"]
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert [line["git"] for line in lines] == [*["0123456789ab and changes"] * 2, "unknown"]
    ledger.add("a", {"mape": 0.01}, here)
    assert len(ledger.path.read_text().splitlines()) == 3, "what is on record is not told twice"
    ledger.publish("# Found\n")
    assert "more than once, the last time counts: b.\n" in ledger.path.with_suffix(".md").read_text()
    ledger.path.with_suffix(".md").unlink()
    assert list(ledger.path.parent.iterdir()) == [ledger.path]


def test_what_has_no_folder_of_its_own_was_measured_here(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "some.jsonl")
    ledger.add("a", {}, tmp_path / "nowhere")
    (here,) = ledger.hosts()
    assert here.endswith(f"Linux {platform.release()}")


def test_what_is_on_record_is_measured_again_where_that_is_asked_for(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path / "some.jsonl"), [Cell("a", ()), Cell("b", ())]
    ledger.publish("too early")
    assert list(tmp_path.iterdir()) == []
    for cell in cells:  # finished: none of them is run
        (tmp_path / "cells" / cell.name).mkdir(parents=True)
        (tmp_path / "cells" / cell.name / "status.json").write_text('{"status": "ok"}')
    ledger.add("a", {"folder": "before"}, tmp_path)
    seen: list[str] = []

    def found(cell: Cell, folder: Path) -> dict[str, str]:
        seen.append(cell.name)
        return {"folder": folder.name}

    for arguments, wanted in ((["--table"], []), ([], ["b"]), (["--anew"], ["a", "b"])):
        seen.clear()
        ledger.measure(cells, parser("", "some").parse_args([f"--folder={tmp_path / 'cells'}", *arguments]), found)
        assert seen == wanted
    assert ledger.found(["a", "b"]) == {"a": {"folder": "a"}, "b": {"folder": "b"}}
    ledger.publish("# Found")
    assert (tmp_path / "some.md").read_text().startswith("# Found\n")


@pytest.mark.parametrize("text", ["nonsense", "{}", '{"name": "a", "schema_version": 2, "found": {}}', "[]"])
def test_another_file_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(f"{text}\n")
    with pytest.raises(ValueError, match="line 1"):
        Ledger(path).found(["a"])


def test_what_is_on_record_in_the_repository_can_be_read_and_has_its_table() -> None:
    paths = sorted(RECORDS.glob("*.jsonl"))
    assert paths
    for path in paths:
        ledger = Ledger(path)
        text = path.with_suffix(".md").read_text(encoding="utf-8")
        assert ledger.all()
        assert all(host in text for host in ledger.hosts())
