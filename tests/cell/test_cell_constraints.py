"""Constraints and the ranking of mode=predict, from cached profiles that were made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.cell.cache import ProfileCache
from harness.errors import SpecError
from harness.results.records import read_splits
from harness.results.schema import Row
from harness.spec import PROJECT, Spec
from harness.testbed import host
from tests.prediction.synthetic_world import World


def compose_spec(profiles: Path, *arguments: str) -> Spec:
    own = ("mode=predict", "model=mobilenetv2", f"profile.dir={profiles}", "constraints.min_split=0")
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", [*own, *arguments]))


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A folder with everything that a forecast of mobilenetv2 needs, of a made-up world."""
    cache = ProfileCache(compose_spec(tmp_path / "profiles"))
    made = World().profiles()
    cache.keep(
        *(replace(own, fingerprint=cache.fingerprints[own.tier]) for own in (made.device, made.edge)),
        replace(made.calibration, fingerprint=cache.calibration_fingerprint),
    )
    return tmp_path / "profiles"


def cell(profiles: Path, *arguments: str) -> tuple[list[Row], dict[str, Any]]:
    folder = profiles.parent / "cell"
    spec = compose_spec(profiles, *arguments)
    app.check(spec)
    assert app.run_cell(spec, folder) == 0
    return read_splits(folder), json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize(
    ("constraint", "broken"),
    [
        ("max_split=30", lambda row: row.key.candidate == "device-only" or (row.key.split or 0) > 30),
        ("device_layers=[layer_3]", lambda row: row.key.candidate != "device-only" and (row.key.split or 0) < 10),
        ("not_device_layers=[20]", lambda row: row.key.candidate == "device-only" or (row.key.split or 0) >= 20),
        ("max_upload_bytes=2000", lambda row: (row.payload_bytes or 0) > 2000),
        ("max_latency_ms=250", lambda row: row.forecast_ms > 250),
        (
            "max_device_ms=100",
            lambda row: sum(row.predicted_terms.get(name, 0) for name in ("device", "device_tl", "serialize")) > 100,
        ),
        ("tier.device=gpu_device", lambda row: True),
        ("tier.device=iiot", lambda row: False),
        ("tier.edge=HOST", lambda row: False),
    ],
)
def test_what_a_constraint_rules_out_is_not_feasible(profiles: Path, constraint: str, broken: Any) -> None:
    host_name = host.identity().split(",")[0]
    rows, summary = cell(profiles, f"constraints.{constraint.replace('HOST', host_name)}", "rank.top=1000")
    predicted = [row for row in rows if row.forecast_ms is not None]
    assert len(predicted) > 20
    # Limits of the cut hold splits alone in splits.csv, the baselines stay there to be compared with.
    assert {row.key for row in predicted if not row.feasible} == {
        row.key for row in predicted if broken(row) and (row.key.split is not None or "split" not in constraint)
    }
    ranking = summary["ranking"]
    assert [place["candidate"] for place in ranking["feasible"]] == [
        str(row.key) for row in sorted(predicted, key=lambda row: row.predicted_ms or 0) if not broken(row)
    ]
    assert {place["candidate"] for place in ranking["near_misses"]} == {
        str(row.key) for row in predicted if broken(row)
    }
    name = constraint.split("=")[0]
    assert {each["constraint"] for place in ranking["near_misses"] for each in place["breaks"]} <= {name}
    best = summary["best_predicted"]
    splits = [place["candidate"] for place in ranking["feasible"] if place["candidate"].startswith("split/")]
    assert best == (splits[0] if splits else None)


@pytest.mark.parametrize(
    ("constraint", "part"),
    [
        ("edge_layers=[layer_33]", "no layer 'layer_33' is known by that name; allowed: the 20 layers that end at a"),
        ("device_layers=[layre_3]", "did you mean 'layer_3'?"),
        ("not_edge_layers=[9999]", "no layer 9999; allowed: Keras indices from 0 to 64"),
    ],
)
def test_a_layer_that_the_profile_does_not_know_is_found_before_the_start(
    profiles: Path, constraint: str, part: str
) -> None:
    with pytest.raises(SpecError) as caught:
        app.check(compose_spec(profiles, f"constraints.{constraint}"))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
