"""The figures of the experiments: from cells on disk alone, with the numbers that they plot beside them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError, SpecError
from harness.report import whatif
from harness.report.figures import FIGURES, canvas, cells_of, make
from harness.report.figures.front import front
from harness.spec import PROJECT
from harness.spec.fields import options
from tests.report.recorded_cells import all_experiments, cell, grid, slices

RECORDED = PROJECT / "experiments" / "recorded"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return all_experiments(tmp_path_factory.mktemp("cells"))


def draw(name: str, source: Path, folder: Path) -> tuple[str, list[dict[str, str]]]:
    """The text of the SVG, and the lines of the CSV."""
    assert [path.name for path in make([name], [source], folder, ["svg"], 60)] == [f"{name}.csv", f"{name}.svg"]
    with (folder / f"{name}.csv").open(newline="") as file:
        return (folder / f"{name}.svg").read_text(), list(csv.DictReader(file))


def test_every_experiment_has_its_figure() -> None:
    assert sorted(FIGURES) == options("experiment")


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_nothing_of_a_figure_lies_beyond_its_edges(cells: Path, name: str) -> None:
    sources = [cells] + [RECORDED] * (RECORDED / name).is_dir()
    for source in sources:
        with canvas.look(name):
            figure = FIGURES[name](cells_of(name, [source])).figure
            figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        drawn = figure.get_tightbbox()  # in inches
        assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) > -0.01, (source, drawn)


def test_slices_show_what_was_replayed_and_estimated_and_mark_the_best_cuts(cells: Path, tmp_path: Path) -> None:
    text, lines = draw("fig5", cells, tmp_path)
    assert {line["hardware"] for line in lines} == {path.name for path in (cells / "fig5").iterdir()}
    marks = {(line["split"], line["transfer_layer"]): line["mark"] for line in lines if line["mark"]}
    assert marks == {
        ("1", "none"): "best",
        ("1", "maxpool"): "best",
        ("139", "none"): "best from 5",
        ("51", "maxpool"): "best from 5",
    }
    for words in (
        "replayed: waited",
        "Scission (no transfer layer), measured (partly estimated)",
        "GPU_Device-GPU_Edge",
    ):
        assert words in text
    assert draw("fig5", cells, tmp_path / "again")[0] == text


def test_what_nobody_recorded_is_an_empty_panel_that_says_so(cells: Path, tmp_path: Path) -> None:
    text, lines = draw("fig6", cells, tmp_path)
    assert "nobody recorded resnet101 on tx2_cpu" in text
    assert {line["hardware"] for line in lines} == {"gpu_device-cpu_edge", "gpu_device-gpu_edge"}


def test_an_estimate_is_named_with_its_method(cells: Path, tmp_path: Path) -> None:
    text, lines = draw("fig4", cells, tmp_path)
    by_bar = {(line["model"], line["configuration"]): line for line in lines}
    estimate = by_bar["densenet201", "cpu_device"]
    assert float(estimate["latency_ms"]) == pytest.approx(400 * 900 / 400)
    assert estimate["provenance"] == "estimated"
    assert "ratio of CPU to GPU for densenet169" in estimate["method"]
    assert by_bar["densenet169", "cpu_device"]["provenance"] == "replayed"
    assert by_bar["densenet169", "gpu_device-gpu_edge"]["candidate"] == "split/1/maxpool/float32"
    assert "* estimated: GPU_Device x 2.25" in text


@pytest.mark.parametrize(
    ("name", "lines_expected"), [("fig7", 24), ("fig8", 3), ("fig9", 24), ("table2", 4), ("winmap", 6), ("errors", 13)]
)
def test_the_csv_has_the_numbers_of_the_figure(cells: Path, tmp_path: Path, name: str, lines_expected: int) -> None:
    assert len(draw(name, cells, tmp_path)[1]) == lines_expected


def test_the_waterfall_adds_up_to_the_total(cells: Path, tmp_path: Path) -> None:
    lines = draw("waterfall", cells, tmp_path)[1]
    errors = {line["term"]: float(line["error_ms"]) for line in lines}
    assert {line["tiers"] for line in lines} == {"both tiers computed"}
    assert errors.pop("total") == pytest.approx(2.0)
    assert sum(errors.values()) == pytest.approx(2.0)


def test_the_front_is_what_no_other_encoding_beats(cells: Path, tmp_path: Path) -> None:
    lines = draw("front", cells, tmp_path)[1]
    points = {(line["transfer_layer"], line["wire_format"]): line for line in lines}
    assert {key: line["on_front"] for key, line in points.items()} == dict.fromkeys(points, "true")
    own = points["maxpool", "uint8"]
    size = 2048 + 5  # the numbers, and the range that they are decoded with
    assert (own["payload_bytes"], float(own["link_ms"])) == (str(size), pytest.approx(28 + size * 8 / 57e3))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_nothing_on_a_front_is_beaten_and_all_else_is(points: list[tuple[int, int]]) -> None:
    best = front(points)
    assert best
    for at, (x, y) in enumerate(points):
        beaten = any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
        assert (at in best) != beaten


def test_a_what_if_is_read_back_as_it_was(tmp_path: Path) -> None:
    grid(tmp_path)
    found = whatif.read_csv(tmp_path / whatif.DATA)
    assert found.axes.shape == (2, 3, 1)
    again = tmp_path / "again"
    again.mkdir()
    whatif.write_csv(found, again)
    assert whatif.records(whatif.read_csv(again / whatif.DATA)) == whatif.records(found)
    (tmp_path / whatif.DATA).write_text("bandwidth_mbps,rtt_ms\n1,2\n")
    with pytest.raises(HarnessError, match="not a grid"):
        whatif.read_csv(tmp_path / whatif.DATA)


def test_cells_of_another_folder_do_as_well_and_missing_ones_are_told(tmp_path: Path) -> None:
    cell(tmp_path / "mine" / "a", slices())
    make(["fig5"], [tmp_path / "mine"], tmp_path / "out", ["svg"], 60)
    with pytest.raises(SpecError, match="no finished cell"):
        make(["fig5"], [tmp_path / "out"], tmp_path / "out")
    with pytest.raises(SpecError, match="no such folder"):
        make(["fig5"], [tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(SpecError, match="no folder named as a figure"):
        make(["all"], [tmp_path / "mine"], tmp_path / "out")


def test_two_recorded_figures_are_redrawn(tmp_path: Path) -> None:
    made = make(["fig5", "fig7"], [RECORDED], tmp_path, ["svg"], 60)
    assert all(path.stat().st_size > 1000 for path in made)


@pytest.mark.slow
def test_every_recorded_figure_is_redrawn(tmp_path: Path) -> None:
    names = {path.name for path in RECORDED.iterdir() if path.is_dir()} & set(FIGURES)
    made = make(["all"], [RECORDED], tmp_path)
    assert {path.stem for path in made} == names
    assert {path.suffix for path in made} == {".csv", ".svg", ".png"}
