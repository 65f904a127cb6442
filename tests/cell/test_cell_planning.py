"""What a plan says: from durations of earlier cells, without anything being started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from harness.cell import durations, planning
from harness.cell.durations import Duration, Estimate, estimate
from harness.spec import PROJECT, Spec

OWN = Duration("resnet50", "iiot", "validate", profiled=True, rounds=14, seconds=0.0)


def spec_of(folder: Path, *overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", [f"profile.dir={folder}", "model=resnet50", *overrides]))


def took(seconds: float, **changed: object) -> Duration:
    return replace(OWN, seconds=seconds, **changed)


def test_cells_of_the_same_kind_are_the_measure_of_one_to_come() -> None:
    assert estimate(OWN, []) == Estimate(None)
    others = [took(900, model="vgg16"), took(50, mode="profile", rounds=1), took(400, profiled=False)]
    assert estimate(OWN, [*others, took(100), took(300), took(200)]) == Estimate(200)
    assert estimate(OWN, others) == Estimate(400, alike=False)
    assert estimate(OWN, others[:2]) == Estimate(900, alike=False)
    assert estimate(replace(OWN, mode="measure"), others) == Estimate(None)


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(1, 1e4))
def test_time_goes_with_the_rounds(rounds: int, wanted: int, seconds: float) -> None:
    found = estimate(replace(OWN, rounds=wanted), [took(seconds, rounds=rounds)])
    assert found.seconds == pytest.approx(seconds * wanted / rounds)


def test_what_cells_took_is_kept_and_damaged_lines_do_not_count(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    assert durations.known(tmp_path) == []
    durations.append(spec, took(120))
    with (tmp_path / durations.FILE).open("a") as file:
        file.write('torn {"\n[]\n{"host": "elsewhere", "model": "resnet50"}\n')
    durations.append(spec, took(60, model="vgg16"))
    assert durations.known(tmp_path) == [took(120), took(60, model="vgg16")]


def test_a_sweep_makes_a_profile_once_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, f"bandwidth={rate}", "mode=plan") for rate in (30, 60)]
    unknown = planning.plan(specs)
    assert [cell.profiled for cell in unknown] == [False, True]
    assert planning.lines(unknown)[-1].endswith("2 of a kind that never ran here: their time is unknown")
    durations.append(specs[0], took(300, profiled=False))
    durations.append(specs[0], took(240))
    text = planning.lines(planning.plan(specs))
    assert "to make" in text[1]
    assert "5.0 min" in text[1]
    assert "cached" in text[2]
    assert "4.0 min" in text[2]
    assert text[-1] == "2 cells, one after the other on this host: about 9 min"
    assert max(map(len, text)) <= 100
    anew = planning.plan([spec_of(tmp_path, "profile.refresh=true")] * 2)
    assert [cell.profiled for cell in anew] == [False, False]
