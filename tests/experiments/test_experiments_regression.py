"""The table of regression errors: a line for each model left out, from the files of a folder alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from experiments import regression_errors
from harness.prediction.profile_io import save
from tests.prediction.test_prediction_regression import faster, model


def test_each_model_is_left_out_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        speed = 1.5 if number == 3 else 1.0
        save(tmp_path / f"{number}.json", faster(model(f"net{number}", number, noise=0.01), speed))
    (tmp_path / "calibration.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["x", "--profiles", str(tmp_path), "--output", str(tmp_path / "table.md")])
    regression_errors.main()
    output = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == output
    rows = [line.split(" | ") for line in output.splitlines() if line.startswith("| net")]
    assert [row[0] for row in rows] == ["| net0", "| net1", "| net2", "| net3"]
    assert float(rows[3][2].rstrip("%")) < -25  # the others never ran that slowly
    assert "tier device, host h" in output


def test_a_folder_with_too_few_models_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "0.json", model("net0", 0))
    monkeypatch.setattr(sys, "argv", ["x", "--profiles", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        regression_errors.main()
    assert caught.value.code == 2
    assert "mode=profile" in capsys.readouterr().err
