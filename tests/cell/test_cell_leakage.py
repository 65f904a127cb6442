"""constraints.max_leakage in a cell: refused while nobody measured it, and what it rules out afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.cell import revealed
from harness.cell.cache import ProfileCache, model_spec
from harness.dnn import zoo
from harness.errors import SpecError
from harness.prediction import leakage
from harness.prediction.leakage import LeakageRecord
from harness.results.leakage import CutLeakage
from harness.results.records import read_splits
from harness.spec import PROJECT, Spec
from tests.prediction.synthetic_world import World

LIMIT = 0.5


def spec_of(profiles: Path, *arguments: str) -> Spec:
    own = ("mode=predict", "model=mobilenetv2", f"profile.dir={profiles}", "constraints.min_split=0")
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", [*own, *arguments]))


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A folder with everything that a forecast of mobilenetv2 needs, of a made-up world."""
    cache = ProfileCache(spec_of(tmp_path / "profiles"))
    made = World().profiles()
    cache.keep(
        *(replace(own, fingerprint=cache.fingerprints[own.tier]) for own in (made.device, made.edge)),
        replace(made.calibration, fingerprint=cache.calibration_fingerprint),
    )
    return tmp_path / "profiles"


def reveal(spec: Spec, profiles: Path) -> dict[tuple[int, str], float]:
    """Keep a record in which later cuts reveal less, and the transfer layer hides a tenth."""
    content = zoo.content_key(model_spec(spec))
    cuts = World().profiles().device.cuts
    numbers = {
        (cut.index, layer): (0.9 if layer == "maxpool" else 1.0) * (1 - place / len(cuts))
        for place, cut in enumerate(cuts)
        for layer in ("none", "maxpool")
    }
    record = LeakageRecord(
        revealed.fingerprint(spec, content),
        64,
        {},
        tuple(CutLeakage(split, "", layer, number) for (split, layer), number in numbers.items()),
    )
    leakage.save(revealed.path(spec, content), record)
    return numbers


def test_without_a_record_the_limit_is_refused_with_the_command_that_makes_one(profiles: Path) -> None:
    with pytest.raises(SpecError, match=r"constraints\.max_leakage=0\.5.*mode=profile leakage\.enabled=true") as caught:
        app.check(spec_of(profiles, f"constraints.max_leakage={LIMIT}"))
    assert "\n" not in str(caught.value)
    app.check(spec_of(profiles))


def test_what_a_learned_layer_reveals_is_that_of_its_seed(profiles: Path) -> None:
    def found(*arguments: str) -> set[Path]:
        return {revealed.path(spec_of(profiles, *arguments, f"seed={seed}"), "content") for seed in (1, 2)}

    assert len(found("transfer_layer=bottleneck")) == 2
    assert len(found("transfer_layer=avgpool")) == 1


def test_cuts_that_reveal_more_are_ruled_out_with_the_reason(profiles: Path, tmp_path: Path) -> None:
    spec = spec_of(profiles, f"constraints.max_leakage={LIMIT}")
    numbers = reveal(spec, profiles)
    app.check(spec)
    assert app.run_cell(spec, tmp_path / "cell") == 0
    judged = 0
    for row in read_splits(tmp_path / "cell"):
        if row.key.candidate == "device-only":
            assert row.feasible
        elif row.key.candidate == "edge-only":
            assert "leakage 1 > constraints.max_leakage 0.5" in row.infeasible_because
        elif row.forecast_ms is not None:
            judged += 1
            number = numbers[row.key.split or 0, row.key.transfer_layer]
            assert ("leakage" in row.infeasible_because) == (number > LIMIT), row.key
    assert judged > 10


def test_the_record_is_that_of_the_weights_and_the_transfer_layers_at_hand(profiles: Path) -> None:
    reveal(spec_of(profiles), profiles)
    limit = f"constraints.max_leakage={LIMIT}"
    app.check(spec_of(profiles, limit))
    another = spec_of(profiles, limit, "leakage.pictures=32")
    with pytest.raises(SpecError, match="nobody has measured"):
        app.check(another)


def test_only_mode_profile_measures_it(profiles: Path) -> None:
    with pytest.raises(SpecError, match=r"leakage\.enabled=true: mode=predict does not measure.*allowed: mode=profile"):
        app.check(spec_of(profiles, "leakage.enabled=true"))
