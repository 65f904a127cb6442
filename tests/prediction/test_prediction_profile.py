"""Profiles on disk: what is written comes back, what is broken is refused in one line."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction import profile as profiles_on_disk
from harness.prediction.profile import Calibration, TierProfile
from harness.prediction.profile_io import load_calibration, load_tier, save
from tests.prediction.synthetic_world import World

PROFILES = World(cuts=6).profiles()
RECORDS = {"tier": (PROFILES.device, load_tier), "calibration": (PROFILES.calibration, load_calibration)}
KINDS = pytest.mark.parametrize("kind", RECORDS)


def refusal(path: Path, kind: str) -> str:
    with pytest.raises(SpecError) as caught:
        RECORDS[kind][1](path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert "profile.refresh=true" in message
    return message


def changed(kind: str, **values: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(asdict(RECORDS[kind][0]))), **values}


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@KINDS
def test_what_is_saved_comes_back(tmp_path: Path, kind: str) -> None:
    record, load = RECORDS[kind]
    path = tmp_path / "new" / "profile.json"
    save(path, record)
    assert load(path) == record
    assert [entry.name for entry in path.parent.iterdir()] == ["profile.json"]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=7, max_size=7))
def test_times_come_back_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, times: list[float]) -> None:
    path = tmp_path_factory.getbasetemp() / "bits.json"
    record = replace(PROFILES.edge, block_ms=tuple(times), block_low_ms=tuple(times), block_high_ms=tuple(times))
    save(path, record)
    if any(times):
        assert load_tier(path) == record
    else:
        with pytest.raises(SpecError, match="no block takes any time"):
            load_tier(path)


@KINDS
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_profile_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "cut.json"
    save(path, RECORDS[kind][0])
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    refusal(path, kind)


@KINDS
@pytest.mark.parametrize("content", ["", "not JSON", "3", "[]", "null", '{"schema_version": 1}', "\x00\x01", "{}"])
def test_what_is_no_profile_is_refused(tmp_path: Path, kind: str, content: str) -> None:
    refusal(write(tmp_path / "odd.json", content), kind)


@KINDS
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(b"\xff\xfe{}")
    refusal(path, kind)


@KINDS
@pytest.mark.parametrize("version", [0, 1, 3, "2", None, 2.5, True])
def test_another_version_is_refused_with_both_named(tmp_path: Path, kind: str, version: Any) -> None:
    message = refusal(write(tmp_path / "v.json", changed(kind, schema_version=version)), kind)
    assert repr(version) in message
    assert f"reads {profiles_on_disk.PROFILE_VERSION}" in message


@KINDS
def test_unknown_and_missing_fields_are_refused(tmp_path: Path, kind: str) -> None:
    assert "surplus" in refusal(write(tmp_path / "more.json", changed(kind, surplus=1)), kind)
    data = changed(kind)
    del data["fingerprint"]
    assert "fingerprint" in refusal(write(tmp_path / "less.json", data), kind)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("field", ["block_ms", "scission_block_ms"])
def test_a_block_time_that_is_no_number_is_refused(tmp_path: Path, field: str, bad: float) -> None:
    times = [*asdict(PROFILES.device)[field]]
    times[2] = bad
    assert "finite" in refusal(write(tmp_path / "nan.json", changed("tier", **{field: times})), "tier")


def test_a_codec_or_anchor_time_that_is_no_number_is_refused(tmp_path: Path) -> None:
    codecs = changed("tier")["codec_ms"]
    next(iter(codecs.values()))["serialize"] = float("nan")
    assert "finite" in refusal(write(tmp_path / "a.json", changed("tier", codec_ms=codecs)), "tier")
    anchors = changed("calibration")["anchors"]
    anchors["device-only"]["device"] = float("nan")
    assert "finite" in refusal(write(tmp_path / "b.json", changed("calibration", anchors=anchors)), "calibration")
    for name in ("downlink_excess_ms", "other_ms", "compute_spread", "network_spread_ms"):
        damaged = changed("calibration", **{name: float("inf")})
        assert "finite" in refusal(write(tmp_path / "c.json", damaged), "calibration")


@pytest.mark.parametrize("field", ["block_ms", "scission_block_ms"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_blocks_is_refused(tmp_path: Path, field: str, change: int) -> None:
    times = [*asdict(PROFILES.device)[field], 1.0][: change - 1 or None]
    message = refusal(write(tmp_path / "blocks.json", changed("tier", **{field: times})), "tier")
    assert f"{len(times)} " in message


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "split/x" in refusal(write(tmp_path / "k.json", changed("tier", codec_ms={"split/x": {}})), "tier")
    assert "split/x" in refusal(
        write(tmp_path / "k.json", changed("calibration", anchors={"split/x": {}})), "calibration"
    )


@KINDS
def test_a_write_that_fails_leaves_the_old_profile_and_no_other_file(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, load = RECORDS[kind]
    path = tmp_path / "profile.json"
    save(path, record)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    other: TierProfile | Calibration = replace(record, fingerprint={"other": True})
    with pytest.raises(OSError, match="No space left"):
        save(path, other)
    assert load(path) == record
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.json"]
