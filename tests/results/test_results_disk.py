"""A disk that is full or may not be written to: found beforehand, and named where it fails later."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.results import disk
from harness.results.records import CellWriter, write_atomic
from harness.results.schema import Key, Sample

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_with_room_is_not_even_made(tmp_path: Path) -> None:
    disk.require_room("hydra.run.dir", tmp_path)
    disk.require_room("hydra.run.dir", tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_with_key_folder_and_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise FULL

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(SpecError) as caught:
        disk.require_room("profile.dir", tmp_path / "profiles")
    for part in ("profile.dir=", str(tmp_path / "profiles"), "No space left on device", "4 MiB"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 5000])
def test_what_can_be_no_folder_is_one_short_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError) as caught:
        disk.require_room("hydra.run.dir", tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_error_of_a_file_gets_its_name_and_keeps_one_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, disk.naming(tmp_path / "samples.jsonl"):
        raise OSError(FULL.errno, FULL.strerror)
    assert caught.value.filename == str(tmp_path / "samples.jsonl")
    with pytest.raises(FileNotFoundError) as missing, disk.naming(tmp_path / "samples.jsonl"):
        (tmp_path / "other").read_text()
    assert missing.value.filename == str(tmp_path / "other")


def test_only_the_disks_errors_are_explained(tmp_path: Path) -> None:
    line = disk.explain(OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / "env.json")), tmp_path / "other")
    assert line is not None
    assert line.startswith(f"{tmp_path / 'env.json'} cannot be written: Read-only file system; ")
    assert str(tmp_path / "other") in str(disk.explain(OSError(FULL.errno, FULL.strerror), tmp_path / "other"))
    for error in (FileNotFoundError(errno.ENOENT, "no such file", "x"), ValueError("x"), OSError("without a number")):
        assert disk.explain(error, tmp_path) is None


def test_records_name_the_file_that_a_full_disk_did_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(FULL.errno, FULL.strerror)

    writer = CellWriter(tmp_path / "cell")
    writer.samples(Sample(Key("device-only"), 0, 1.0, {"device": 1.0}, 0.0))
    monkeypatch.setattr(os, "fsync", refuse)
    for write, name in (
        (writer.close, "samples.jsonl"),
        (lambda: write_atomic(tmp_path / "env.json", "{}"), "env.json"),
    ):
        with pytest.raises(OSError, match="No space") as caught:
            write()
        assert str(caught.value.filename).endswith(name)
    writer.close()  # nothing is open any more
    assert not (tmp_path / "env.json").exists()
