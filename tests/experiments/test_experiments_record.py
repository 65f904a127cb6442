"""Putting an experiment on record: small, and good for the same figures and claims."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments import catalogue, record
from harness.report import claims
from harness.report.figures import make
from harness.spec import PROJECT
from tests.report.recorded_cells import all_experiments


def test_the_record_draws_and_claims_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = all_experiments(tmp_path / "full")
    for sweep in full.iterdir():
        assert record.main([str(sweep), "--to", str(tmp_path / "small")]) == 0
    names = ["fig4", "fig8", "winmap", "front"]
    for source in ("full", "small"):
        make(names, [tmp_path / source], tmp_path / f"{source}-out", ["svg"], 50)
    for name in names[:1] + names[3:]:
        same = [(tmp_path / f"{source}-out" / f"{name}.csv").read_text() for source in ("full", "small")]
        assert same[0].count("\n") == same[1].count("\n")
    own = claims.read(PROJECT / "experiments" / "claims.yaml")
    before, after = (claims.evaluate(own, [tmp_path / source]) for source in ("full", "small"))
    assert [each.carried for each in before] == [each.carried for each in after]
    assert "cells" in capsys.readouterr().out
    assert not list((tmp_path / "small").rglob("samples.jsonl"))


def test_a_sweep_without_a_good_cell_leaves_the_record_alone(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "small" / "sweep").mkdir(parents=True)
    assert record.main([str(tmp_path / "sweep"), "--to", str(tmp_path / "small")]) == 1
    assert (tmp_path / "small" / "sweep").is_dir()
    with pytest.raises(SystemExit):
        record.main([str(tmp_path / "nowhere")])


def test_what_is_on_record_is_small() -> None:
    """By the cell: the more experiments are on record, the better."""
    cells = len(list(catalogue.RECORDED.rglob("status.json")))
    files = [path for path in catalogue.RECORDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30_000 * cells


def test_what_is_on_record_names_no_folder_of_a_machine() -> None:
    texts = [path for path in catalogue.RECORDED.rglob("*") if path.suffix in {".json", ".yaml", ".csv", ".md"}]
    assert texts
    assert [path for path in texts if re.search(r"[\"' ]/(tmp|home|root|work|var|mnt)/", path.read_text("utf-8"))] == []


def test_the_page_of_what_is_on_record_is_of_these_cells(tmp_path: Path) -> None:
    kept = (catalogue.RECORDED / catalogue.PAGE).read_text(encoding="utf-8")
    assert kept == catalogue.page(catalogue.RECORDED), "write it anew: python experiments/catalogue.py"
    rows = {line.split("|")[1].strip(" `"): line.split("|")[2:] for line in kept.splitlines() if line.startswith("| `")}
    assert set(rows) == {path.name for path in catalogue.RECORDED.iterdir() if path.is_dir()}
    cells, minutes, mape = rows["fig4"][:3]
    assert int(cells.split()[0]) == 15
    assert float(minutes) > 1
    assert mape.count("%") == 2
    assert catalogue.main([str(tmp_path)]) == 0
    assert "| experiment | cells |" in (tmp_path / catalogue.PAGE).read_text()


def test_what_is_on_record_is_not_lost_to_a_wrong_call(tmp_path: Path) -> None:
    full = all_experiments(tmp_path / "full")
    small = tmp_path / "small"
    assert record.main([str(full / "fig4"), "--to", str(small)]) == 0
    kept = sorted(path.name for path in (small / "fig4").iterdir())
    for call in ([str(small / "fig4")], [str(full / "fig4"), "--name", ".."], [str(full / "fig4"), "--name", "."]):
        with pytest.raises(SystemExit):
            record.main([*call, "--to", str(small)])
    broken = next(path.parent for path in (full / "fig4").rglob("status.json"))
    (broken / "spec.yaml").unlink()
    with pytest.raises(OSError, match=r"spec\.yaml"):
        record.main([str(full / "fig4"), "--to", str(small)])
    assert sorted(path.name for path in (small / "fig4").iterdir()) == kept
    assert [path.name for path in small.iterdir() if path.name.startswith(".")] == []
