"""A profile of another host, other weights, versions or threads: refused, said why, and used by force on record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.cell import forcing
from harness.cell.cache import ProfileCache
from harness.errors import SpecError
from harness.prediction.portable import export_profiles
from harness.prediction.profile import Profiles
from harness.spec import PROJECT, Spec
from tests.prediction.synthetic_world import World


def spec(folder: Path, *overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        arguments = ["mode=predict", "model=mobilenetv2", f"profile.dir={folder}", *overrides]
        return Spec.from_config(compose("config", arguments))


def kept(cache: ProfileCache) -> Profiles:
    """Profiles that were made exactly for this cell."""
    made = World(cuts=6).profiles()
    device, edge = (
        dataclasses.replace(profile, fingerprint=cache.fingerprints[profile.tier])
        for profile in (made.device, made.edge)
    )
    profiles = Profiles(device, edge, dataclasses.replace(made.calibration, fingerprint=cache.calibration_fingerprint))
    cache.keep(profiles.device, profiles.edge, profiles.calibration)
    return profiles


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("hardware.device.threads=2", "threads"),
        ("seed=3", "content"),
        ("model.weights=other.weights.h5", "content"),
        ("communicator=http_binary", "communicator"),
    ],
)
def test_a_profile_is_refused_for_what_it_was_not_made_on(tmp_path: Path, change: str, key: str) -> None:
    (tmp_path / "other.weights.h5").write_bytes(b"weights")
    kept(ProfileCache(spec(tmp_path)))
    with pytest.raises(SpecError, match=r"profile\.force=true uses it all the same") as caught:
        app.check(spec(tmp_path, change.replace("=other", f"={tmp_path}/other")))
    line = str(caught.value)
    assert "\n" not in line
    assert f"was made on {key} " in line


def test_a_profile_of_other_rounds_is_the_same_and_made_again_only_for_more(tmp_path: Path) -> None:
    made = kept(ProfileCache(spec(tmp_path, "profile.rounds=5", "profile.eager_rounds=1")))
    for rounds, eager, enough in ((3, 0, True), (5, 1, True), (6, 1, False), (5, 2, False)):
        asked = spec(tmp_path, f"profile.rounds={rounds}", f"profile.eager_rounds={eager}")
        app.check(asked)
        assert ProfileCache(asked).require().device == made.device
        assert set(ProfileCache(asked).thorough()) == ({"device", "edge"} if enough else set())


def test_a_forced_profile_that_is_made_again_after_all_is_not_named(tmp_path: Path) -> None:
    kept(ProfileCache(spec(tmp_path, "profile.rounds=5", "seed=1")))
    for rounds, named in ((5, {"device", "edge"}), (6, set())):
        cache = ProfileCache(spec(tmp_path, f"profile.rounds={rounds}", "profile.eager_rounds=0", "profile.force=true"))
        assert set(cache.thorough()) == named
        assert set(cache.forced) == named


@pytest.mark.parametrize(("what", "key"), [("host", "host"), ("versions", "versions.tensorflow")])
def test_a_profile_of_another_host_or_tensorflow_is_refused(tmp_path: Path, what: str, key: str) -> None:
    cache = ProfileCache(spec(tmp_path))
    here = cache.fingerprints["device"]
    other = "elsewhere, another processor" if what == "host" else {**here["versions"], "tensorflow": "2.3.0"}
    cache.fingerprints["device"] = {**here, what: other}
    kept(cache)
    with pytest.raises(SpecError) as caught:
        ProfileCache(spec(tmp_path)).kept()
    assert f"it belongs to {key}" in str(caught.value)
    assert ProfileCache(spec(tmp_path, "profile.force=true")).kept().keys() == {"device", "edge"}


def test_force_uses_the_nearest_and_the_summary_says_what_differs(tmp_path: Path) -> None:
    kept(ProfileCache(spec(tmp_path, "profile.rounds=3", "hardware.device.threads=4")))
    kept(ProfileCache(spec(tmp_path, "hardware.device.threads=4")))
    cell = tmp_path / "cell"
    assert app.run_cell(spec(tmp_path, "profile.force=true"), cell) == 0
    forced = json.loads((cell / "summary.json").read_text())["forced_profiles"]
    assert forced["device"]["differs"] == {"threads": [4, 1]}
    assert forced["calibration"]["differs"] == {"device.threads": [4, 1]}
    assert "edge" not in forced
    assert forced["device"]["file"].startswith("mobilenetv2-compiled-device-")


def test_without_anything_forced_the_summary_is_silent(tmp_path: Path) -> None:
    kept(ProfileCache(spec(tmp_path)))
    cell = tmp_path / "cell"
    assert app.run_cell(spec(tmp_path, "profile.force=true"), cell) == 0
    assert "forced_profiles" not in json.loads((cell / "summary.json").read_text())


def test_force_takes_an_exported_file_of_other_weights_and_says_so(tmp_path: Path) -> None:
    export_profiles(tmp_path / "file.json", kept(ProfileCache(spec(tmp_path / "other", "seed=3"))))
    asked = f"profile.file={tmp_path / 'file.json'}"
    with pytest.raises(SpecError, match="it holds mobilenetv2"):
        app.check(spec(tmp_path, asked))
    cell = tmp_path / "cell"
    assert app.run_cell(spec(tmp_path, asked, "profile.force=true"), cell) == 0
    forced = json.loads((cell / "summary.json").read_text())["forced_profiles"]
    made, wanted = forced["file"]["differs"]["content"]
    assert "random3" in made
    assert "random0" in wanted


def test_a_profile_of_this_host_is_refused_for_an_external_edge(tmp_path: Path) -> None:
    kept(ProfileCache(spec(tmp_path)))
    url = "hardware.edge.url=edge.example:8001"
    with pytest.raises(SpecError, match=r"external edge at edge\.example:8001") as caught:
        app.check(spec(tmp_path, url))
    assert "was made on host " in str(caught.value)
    cell = tmp_path / "cell"
    assert app.run_cell(spec(tmp_path, url, "profile.force=true"), cell) == 0
    forced = json.loads((cell / "summary.json").read_text())["forced_profiles"]
    assert list(forced["edge"]["differs"]) == ["host"]


@pytest.mark.parametrize("change", ["model=resnet50", "transfer_layer=avgpool"])
def test_no_force_bridges_another_model_or_a_transfer_layer_that_was_not_timed(tmp_path: Path, change: str) -> None:
    kept(ProfileCache(spec(tmp_path)))
    with pytest.raises(SpecError, match="needs a profile"):
        app.check(spec(tmp_path, change, "profile.force=true"))


def test_differences_name_the_key_inside() -> None:
    found = {"host": "a", "versions": {"tensorflow": "1", "keras": "3"}, "same": 1}
    asked = {"host": "b", "versions": {"tensorflow": "2", "keras": "3"}, "same": 1}
    assert forcing.differences(found, asked) == {"host": ["a", "b"], "versions.tensorflow": ["1", "2"]}
    assert forcing.told({"host": ["a", "b"]}) == "host 'a', not 'b'"
