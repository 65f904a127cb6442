"""The command that a page names to run its cell again."""

from __future__ import annotations

from pathlib import Path

from harness.cell.outcome import command


def test_a_cell_of_a_sweep_is_run_again_alone(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- bandwidth=30\n- measure.splits=[1,51]\n")
    assert command(tmp_path) == "python run.py bandwidth=30 'measure.splits=[1,51]'"


def test_without_a_note_of_hydra_it_is_what_was_typed(tmp_path: Path) -> None:
    assert command(tmp_path).startswith("python ")
