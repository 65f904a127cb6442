from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.report import style
from harness.report.figure import cuts_figure
from harness.results.schema import TERMS, Key, Row
from tests.validation.synthetic_cell import make_cell

SVG = "{http://www.w3.org/2000/svg}"


def words(path: Path) -> str:
    return "\n".join("".join(each.itertext()) for each in ElementTree.parse(path).iter(f"{SVG}text"))


def test_the_files_are_written_and_say_what_they_show(tmp_path: Path) -> None:
    cell = make_cell()
    svg, png = cuts_figure(cell.rows, cell.summary, "densenet169 & <link>", tmp_path, ["svg", "png"])
    assert png.read_bytes().startswith(b"\x89PNG")
    assert int.from_bytes(png.read_bytes()[16:20], "big") >= 1000
    text = words(svg)
    assert "densenet169 & <link>" in text
    for label in ("ScissionTL, best: 1", "Scission, best from cut 5 on:", "edge-only (jpeg), measured", "(ms)"):
        assert label in text
    assert all(label in text for label in style.TERM_LABELS.values())


def test_an_encoding_of_the_cell_s_own_has_a_line_and_what_was_measured_most_has_the_bars(tmp_path: Path) -> None:
    own = [
        Row(
            Key("split", split, "bottleneck:ratio=8", "uint8+zlib!random"),
            predicted_ms=5.0,
            measured_ms=6.0,
            measured_terms={"device": 4.0, "edge_tl": 2.0},
        )
        for split in (1, 4)
    ]
    plain = [Row(Key("split", 1), predicted_ms=9.0), Row(Key("split", 1, "maxpool"), predicted_ms=7.0, measured_ms=7.5)]
    (path,) = cuts_figure([*own, *plain], {}, "t", tmp_path, ["svg"])
    text = words(path)
    name = "bottleneck:ratio=8/uint8+zlib!random"
    for label in (
        f"{name}, predicted",
        f"{name}, measured",
        f"{name}, best: 1",
        "ScissionTL (maxpool), measured",
        "EdgeTL",
    ):
        assert label in text, label


def test_ways_that_nobody_could_tell_apart_are_drawn_as_one(tmp_path: Path) -> None:
    row = Row(
        Key("split", 1, "maxpool"),
        measured_ms=9.0,
        measured_terms={"device": 4.0, "queue": 0.5, "edge": 2.0},
        network_measured_ms=2.5,
    )
    (path,) = cuts_figure([row], {}, "t", tmp_path, ["svg"])
    drawn = words(path).splitlines()
    assert style.BOTH_WAYS in drawn
    assert style.TERM_LABELS["uplink"] not in drawn


def test_the_same_rows_give_the_same_svg(tmp_path: Path) -> None:
    cell = make_cell()
    drawn = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        drawn.append(cuts_figure(cell.rows, cell.summary, "t", tmp_path / name, ["svg"])[0].read_bytes())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Row(Key("device-only"), predicted_ms=5.0)],
        [Row(Key("split", 1, "maxpool"), measured_ms=5.0, measured_terms={"device": 5.0})],
        [Row(Key("split", 1, "none"), predicted_ms=5.0), Row(Key("split", 9, "other"), predicted_ms=5.0)],
    ],
)
def test_rows_that_lack_nearly_everything_can_be_drawn(tmp_path: Path, rows: list[Row]) -> None:
    (path,) = cuts_figure(rows, {}, "t", tmp_path, ["svg"])
    ElementTree.parse(path)


def test_every_term_has_a_label_and_a_colour_of_its_own() -> None:
    assert tuple(style.TERM_LABELS) == tuple(style.TERM_COLOURS) == TERMS
    assert len(set(style.TERM_COLOURS.values())) == len(TERMS)
