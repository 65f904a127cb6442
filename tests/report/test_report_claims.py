"""The paper's claims: read from data, computed from cells, told with what they can be compared to."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.report import claims
from harness.report.claims import Outcome
from harness.spec import PROJECT
from harness.spec.fields import options
from tests.report.recorded_cells import all_experiments, cell, slices

CLAIMS = PROJECT / "experiments" / "claims.yaml"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = all_experiments(tmp_path_factory.mktemp("cells"))
    return {each.claim.id: each for each in claims.evaluate(claims.read(CLAIMS), [folder])}


def test_every_experiment_that_a_claim_names_exists() -> None:
    named = {name for claim in claims.read(CLAIMS) for own in claim.compute.selections for name in own.experiment}
    assert {name.partition("-")[0] for name in named} <= set(options("experiment"))


def test_each_way_to_compute_a_claim(outcomes: dict[str, Outcome]) -> None:
    found = {name: each.found for name, each in outcomes.items()}
    assert found["fig4-cpu"]["measured"] == (15.0, "cut 1")
    assert found["fig5-gpu_device-gpu_edge-cut"]["measured"] == (pytest.approx(400 / 150), "cut 5")
    assert found["fig5-gpu_device-gpu_edge-best"]["equations"] == (pytest.approx(100 / 60), "cut 1 / cut 1")
    assert found["layer1-densenet169-none"]["predicted"] == (1.0, "4 of 4 recorded")
    assert found["layer1-resnet101-none"]["predicted"] == (1.0, "2 of 2 recorded")
    assert found["cut51"]["measured"][0] == 51
    assert found["tl-quarter"]["predicted"][0] == 0.25
    assert found["fig7-layer1-densenet169"]["predicted"] == (1.0, "635 kB")
    assert found["device-tl-gpu"]["measured"] == (pytest.approx(1.25 * 380), "cut 592")
    assert found["converged-gpu_device-gpu_edge"]["predicted"][0] == pytest.approx(1.0)
    assert found["rapidly"]["measured"] == (80.0, "120 s / 1.50 s")
    assert found["fig9-scission"]["measured"][0] == pytest.approx(2.0)
    assert found["table2-densenet169-top5_drop_points"]["measured"] == (pytest.approx(0.5), "fashion_mnist, cut 51")


def test_a_claim_is_carried_or_not_or_cannot_be_compared(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["fig5-gpu_device-gpu_edge-cut"].carried == "yes (measured)"
    assert outcomes["fig4-gpu-densenet169"].carried == "yes (measured)"
    assert outcomes["device-tl-gpu"].carried == "no (measured)"
    assert outcomes["converged-gpu_device-gpu_edge"].carried == "see text"
    assert (outcomes["table2-densenet169-original_top5"].comparable, outcomes["training-time"].carried) == ("no", "–")
    missing = outcomes["fig6-cpu_device-gpu_edge-cut"]
    assert (missing.comparable, missing.because) == ("no", "nobody recorded resnet101 on tx2_cpu")
    assert outcomes["fig4-cpu-triton"].because.startswith("not run: experiment=table1-triton, model densenet169")
    assert outcomes["fig4-cpu"].minutes == pytest.approx(4.0)


def test_a_term_that_was_replayed_was_not_measured(tmp_path: Path) -> None:
    """The wait for all terms of a tier is as long as recorded; one may end early for another that ended late."""
    rows = slices(1.0)
    for row in rows:
        row.replayed = (*row.replayed, "edge_tl")
        row.predicted_terms["edge_tl"], row.measured_terms["edge_tl"] = 0.29, 0.05
    cell(tmp_path / "fig5" / "gpu_device-gpu_edge", rows)
    (found,) = claims.evaluate([each for each in claims.read(CLAIMS) if each.id == "edge-tl-gpu"], [tmp_path])
    assert "measured" not in found.found
    assert found.carried == "no (predicted)"


def test_the_tables_say_all_of_it(outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    own = list(outcomes.values())
    claims.write(own, tmp_path)
    with (tmp_path / "claims.csv").open(newline="") as file:
        lines = {line["id"]: line for line in csv.DictReader(file)}
    assert len(lines) == len(own)
    assert lines["fig4-cpu"]["measured"] == "15.0"
    text = (tmp_path / "claims.md").read_text()
    assert all(each.claim.claim in text and each.because in text for each in own)
    shown = claims.console(own)
    assert max(map(len, shown)) <= 100
    assert shown[-1].startswith(f"{len(own)} claims: ")


def test_fresh_runs_in_a_folder_of_their_date_are_found_the_newest_first(tmp_path: Path) -> None:
    for date, scale in (("2026-01-01", 1.0), ("2026-01-02", 2.0)):
        cell(tmp_path / "fig5" / date / "gpu_device-gpu_edge", slices(scale))
    claim = [each for each in claims.read(CLAIMS) if each.id == "cut51"]
    (found,) = claims.evaluate(claim, [tmp_path])
    assert found.found["measured"] == (51.0, "240.0 ms")
    (direct,) = claims.evaluate(claim, [tmp_path / "fig5" / "2026-01-01"])
    assert direct.found["measured"] == (51.0, "120.0 ms")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("claims: 3", "a YAML list"),
        ("- {id: a}", "claim 1 \\(a\\)"),
        ("[", "a YAML list"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(HarnessError, match=says) as caught:
        claims.read(tmp_path / "claims.yaml")
    assert "\n" not in str(caught.value)


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    first = CLAIMS.read_text().split("- id: ")[1]
    (tmp_path / "claims.yaml").write_text(f"- id: {first}\n- id: {first}")
    with pytest.raises(HarnessError, match="stands twice"):
        claims.read(tmp_path / "claims.yaml")
