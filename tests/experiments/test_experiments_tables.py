"""The tables of `experiments/`: plans, verdicts, and the comparison of link theories on links whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import extrapolation, fidelity, theory
from experiments.cells import Cell, finished, markdown, run_all
from harness.errors import SpecError
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.spec import PROJECT
from tests.prediction.synthetic_world import make_link

GOOD = {
    "measured_candidates": 24,
    "mape": 0.01,
    "mape_splits": 0.011,
    "p95_abs_error": 0.02,
    "bias": -0.005,
    "regret": 0.0,
    "kendall_tau": 0.95,
    "kendall_tau_aa": 0.96,
    "drift": 0.01,
    "noise_floor": 0.01,
    "forecast_mape": 0.02,
    "paper_mape": 0.05,
    "paper_eager_mape": 1.5,
}


def verdict(**changed: float) -> str:
    return str(fidelity.row(fidelity.plan()[0], GOOD | changed)["verdict"])


def test_the_plan_holds_every_cell_that_the_bar_asks_for() -> None:
    cells = fidelity.plan()
    assert len({cell.name for cell in cells}) == len(cells) == 27
    for model in fidelity.MODELS:
        own = [cell for cell in cells if cell.override("model") == model and cell.override("hardware") == "iiot"]
        links = sorted((cell.override("bandwidth"), cell.override("latency")) for cell in own)
        assert links == [("30", "30"), ("57", "28"), ("57", "28"), ("57", "28"), ("60", "30")]
    local = [cell for cell in cells if cell.override("hardware") == "local"]
    assert {cell.override("model") for cell in local} == {"densenet169", "resnet101"}
    assert all(cell.override("measure.transfer_layers") == "[maxpool,none]" for cell in local)


def test_a_row_holds_misses_or_cannot_tell() -> None:
    assert verdict() == "holds"
    for field, value in (
        ("mape", 0.021),
        ("p95_abs_error", 0.041),
        ("bias", -0.011),
        ("regret", 0.02),
        ("kendall_tau", 0.92),
    ):
        assert verdict(**{field: value}) == "missed", field
    assert verdict(mape=0.05, noise_floor=0.021) == "inconclusive"
    assert verdict(mape=0.05, drift=-0.021) == "inconclusive"


def test_a_table_has_a_line_for_each_row() -> None:
    text = fidelity.table([fidelity.row(fidelity.plan()[0], GOOD)])
    assert text.splitlines()[2].startswith("| densenet169 | iiot | 57 | 28 | 1 | 24 | 1.0 | 1.1 | 2.0 | -0.5 |")
    assert markdown(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |\n"


def test_finished_cells_are_kept_and_none_starts_after_its_time(tmp_path: Path) -> None:
    done, broken = tmp_path / "done", tmp_path / "broken"
    for folder, status in ((done, "ok"), (broken, "failed")):
        folder.mkdir()
        (folder / "status.json").write_text(json.dumps({"status": status}))
    assert finished(done)
    assert not finished(broken)
    assert not finished(tmp_path / "nowhere")
    cells = [Cell("done", ()), Cell("broken", ())]
    assert [cell.name for cell in run_all(cells, tmp_path, minutes=0.0)] == ["done"]


def test_a_forecast_is_told_before_it_is_measured_and_from_its_own_profiles() -> None:
    folder = PROJECT / "outputs" / "somewhere"
    for mode in ("predict", "validate"):
        cell = extrapolation.cell(mode, "resnet50", "local", (10, 50), folder)
        assert cell.override("profile.dir") == str(folder / "profiles")
        assert cell.override("hardware") == "local"
        assert (cell.override("bandwidth"), cell.override("latency")) == ("10", "50")


def made_up(mbps: float, rtt_ms: float, model: str = "one", excess_ms: float = 1.5) -> theory.Cell:
    """A cell whose link does what the formula says, and gRPC adds a constant and a little a byte."""
    link = make_link(mbps, rtt_ms)
    sizes = np.array([2e3, 4e4, 2e5, 8e5, 1.6e6])
    echoes = np.array([1.0, 2e3, 6e4, 4e5])
    up = np.asarray(uplink_ms(link, sizes)) + excess_ms + 2e-6 * sizes
    return theory.Cell(
        model=model,
        link=link,
        payload_bytes=sizes,
        network_ms=up + downlink_ms(link, 4150) + 0.4,
        echo_bytes=echoes,
        echo_excess_ms=excess_ms + 2e-6 * echoes,
        downlink_excess_ms=0.4,
        response_bytes=4150,
    )


def test_theory_foretells_a_link_that_it_never_saw_and_a_line_does_not() -> None:
    cells = [made_up(57, 28), made_up(30, 30), made_up(60, 30), made_up(10, 50)]
    rows = list(theory.leave_out(cells, lambda cell: cell.link_name))
    assert len(rows) == 4
    for row in rows:
        by_theory, line, by_rate, _, equation = (float(text.split(" ")[0]) for text in row[2:])
        assert by_theory == pytest.approx(0, abs=0.01)
        assert by_theory < min(line, by_rate, equation)


def test_a_cell_is_on_record_as_it_was(tmp_path: Path) -> None:
    made = made_up(57, 28)
    again = theory.Cell.from_dict(json.loads(json.dumps(made.as_dict())))
    assert again.as_dict() == made.as_dict()
    assert (again.model, again.link_name, again.response_bytes) == (made.model, made.link_name, made.response_bytes)
    assert again.network_ms == pytest.approx(made.network_ms, abs=1e-4)


def test_the_last_group_has_nothing_to_learn_from() -> None:
    assert list(theory.leave_out([made_up(57, 28)], lambda cell: cell.model)) == []


def test_a_cell_of_other_arguments_is_not_taken_for_this_one(tmp_path: Path) -> None:
    (tmp_path / "one" / ".hydra").mkdir(parents=True)
    (tmp_path / "one" / "status.json").write_text(json.dumps({"status": "ok"}))
    (tmp_path / "one" / ".hydra" / "overrides.yaml").write_text("- seed=1\n- measure.splits=[1,2]\n")
    same = Cell("one", ("measure.splits=[1,2]", "seed=1"))
    assert list(run_all([same], tmp_path, minutes=0.0)) == [same]
    with pytest.raises(SpecError, match=r"holds a cell of other arguments \(seed=1, seed=2 "):
        list(run_all([Cell("one", ("seed=2", "measure.splits=[1,2]"))], tmp_path, minutes=0.0))


@pytest.mark.parametrize(
    "call",
    [
        ["experiments/overhead.py", "/nowhere"],
        ["experiments/check_bars.py", "/nowhere"],
        ["experiments/accuracy.py", "--networks", "densenet121"],
        ["experiments/accuracy.py", "--formats", "float16"],
        ["-m", "experiments.connection_states", "--model", "no_such_model"],
    ],
)
def test_a_wrong_call_is_one_line(call: list[str]) -> None:
    done = subprocess.run([sys.executable, *call], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr.splitlines()[-1]
