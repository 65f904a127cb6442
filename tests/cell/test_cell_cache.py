"""Profiles are found exactly where they are still true."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness.cell.cache import ProfileCache
from harness.errors import SpecError
from harness.prediction.profile import Profiles
from harness.spec import PROJECT, Spec
from tests.prediction.synthetic_world import World


def cache(folder: Path, *overrides: str) -> ProfileCache:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return ProfileCache(Spec.from_config(compose("config", [f"profile.dir={folder}", *overrides])))


def kept(own: ProfileCache) -> Profiles:
    made = World(cuts=6).profiles()
    device, edge = (
        dataclasses.replace(profile, fingerprint=own.fingerprints[profile.tier]) for profile in (made.device, made.edge)
    )
    profiles = Profiles(device, edge, dataclasses.replace(made.calibration, fingerprint=own.calibration_fingerprint))
    own.keep(profiles.device, profiles.edge, profiles.calibration)
    return profiles


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    assert cache(tmp_path).profiles() is None
    profiles = kept(cache(tmp_path))
    assert cache(tmp_path).require() == profiles
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "override", ["bandwidth=10", "latency=3", "measure.samples=3", "constraints.min_split=1", "gate.enabled=false"]
)
def test_link_and_measurement_are_no_part_of_a_profile(tmp_path: Path, override: str) -> None:
    profiles = kept(cache(tmp_path))
    assert cache(tmp_path, override).profiles() == profiles


@pytest.mark.parametrize(
    ("override", "tiers"),
    [
        ("model=mobilenetv2", False),
        ("seed=1", False),
        ("profile.execution=eager", False),
        ("hardware.device.threads=2", False),
        ("hardware.edge.threads=2", False),
        ("hardware=local", True),  # the pace is taken off the tiers' own times
        ("profile.anchors=3", True),
        ("hardware.device.cpu=2", True),
    ],
)
def test_what_a_profile_depends_on_is_part_of_its_name(tmp_path: Path, override: str, tiers: Any) -> None:
    kept(cache(tmp_path))
    other = cache(tmp_path, override)
    assert other.profiles() is None
    assert (other.tiers() is not None) == tiers
    assert other.calibration() is None


@pytest.mark.parametrize(
    ("override", "tier"), [("hardware.edge.threads=2", "device"), ("hardware.device.threads=2", "edge")]
)
def test_a_tier_s_profile_is_found_whatever_its_partner(tmp_path: Path, override: str, tier: str) -> None:
    profiles = kept(cache(tmp_path))
    other = cache(tmp_path, override)
    assert other.kept() == {tier: getattr(profiles, tier)}
    assert other.tiers() is None


def test_a_file_under_another_s_name_is_refused(tmp_path: Path) -> None:
    own, other = cache(tmp_path), cache(tmp_path, "model=mobilenetv2")
    kept(own)
    for tier, path in own.paths.items():
        path.rename(other.paths[tier])
    with pytest.raises(SpecError, match="belongs to model 'densenet169', not 'mobilenetv2'"):
        other.tiers()


def test_what_is_exported_predicts_elsewhere_without_a_cache(tmp_path: Path) -> None:
    file = tmp_path / "carried" / "densenet169.json"
    home = cache(tmp_path / "home", f"profile.export={file}")
    home.export(kept(home))
    away = cache(tmp_path / "away", f"profile.file={file}", "mode=predict", "bandwidth=10")
    assert away.require() == home.profiles()
    assert away.tiers() == home.tiers()
    assert not (tmp_path / "away").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("mode=predict", "profile.file=missing.json"), "No such file"),
        (("mode=predict", "profile.file={file}", "model=vgg16"), "holds densenet169"),
        (("mode=predict", "profile.file={file}", "seed=1"), "random0"),
        (("mode=validate", "profile.file={file}"), "mode=validate measures profiles of its own"),
        (("mode=predict", "profile.export={folder}"), "is a folder"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, overrides: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "densenet169.json"
    home = cache(tmp_path / "home", f"profile.export={file}")
    home.export(kept(home))
    with pytest.raises(SpecError, match=words) as caught:
        cache(tmp_path, *(text.format(file=file, folder=tmp_path) for text in overrides)).require()
    assert "\n" not in str(caught.value)


def test_nothing_is_exported_unless_asked(tmp_path: Path) -> None:
    home = cache(tmp_path / "home")
    home.export(kept(home))
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_without_a_profile_the_user_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        cache(tmp_path).require()
    message = str(caught.value)
    assert "\n" not in message
    assert "python run.py mode=profile model=densenet169 hardware=iiot" in message


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_broken_profile_is_refused_not_overlooked(tmp_path: Path, which: int) -> None:
    kept(cache(tmp_path))
    sorted(tmp_path.iterdir())[which].write_text("{")
    with pytest.raises(SpecError, match=r"profile\.refresh=true"):
        cache(tmp_path).require()
