"""What mode=clean may take away: cells, sweeps, profiles; and what it must leave."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path

import pytest

from harness.results.cleaning import find

DIGEST = "0123456789abcdef"


def cell(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"schema_version": 1, "status": "ok"}))
    (folder / "samples.jsonl").write_text("x" * 1000)
    return folder


def kinds(folder: Path) -> dict[str, str]:
    return {str(each.path.relative_to(folder)): each.kind for each in find(folder)}


def test_cells_sweeps_and_profiles_are_ours(tmp_path: Path) -> None:
    cell(tmp_path / "densenet169" / "2026-11-28")
    killed = tmp_path / "densenet169" / "killed"
    killed.mkdir()
    (killed / "spec.yaml").write_text("schema_version: 1\n")
    for number in ("0", "1"):
        cell(tmp_path / "sweeps" / "one" / number)
    for name in ("results.csv", "multirun.yaml"):
        (tmp_path / "sweeps" / "one" / name).write_text("")
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    names = [f"vgg16-compiled-device-{DIGEST}.json", f"vgg16-eager-edge-{DIGEST}.json.journal", "drift.jsonl"]
    names.append(f"vgg16-leakage-{DIGEST}.json")
    for name in names:
        (profiles / name).write_text("{}")
    assert kinds(tmp_path) == {
        "densenet169/2026-11-28": "cell",
        "densenet169/killed": "cell",
        f"profiles/{names[0]}": "profile",
        f"profiles/{names[1]}": "profile",
        "profiles/drift.jsonl": "log of a host",
        f"profiles/{names[3]}": "profile",
        "sweeps/one": "sweep",
    }
    assert find(tmp_path)[0].size_bytes > 1000
    for each in find(tmp_path):
        each.remove()
    assert find(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "profile.json", f"vgg16-device-{DIGEST}.json", "vgg16-compiled-device-0123.json", ".gitkeep"],
)
def test_other_files_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    (tmp_path / "status.json").write_text("{}")  # of somebody else
    assert find(tmp_path) == []


def test_a_sweep_with_somebodys_notes_in_it_loses_its_cells_alone(tmp_path: Path) -> None:
    cell(tmp_path / "one" / "0")
    (tmp_path / "one" / "my_notes.md").write_text("")
    assert kinds(tmp_path) == {"one/0": "cell"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    cell(tmp_path / "elsewhere" / "cell")
    here = tmp_path / "outputs"
    here.mkdir()
    (here / "link").symlink_to(tmp_path / "elsewhere" / "cell")
    (here / "drift.jsonl").symlink_to(tmp_path / "elsewhere" / "cell" / "samples.jsonl")
    assert find(here) == []
    (tmp_path / "way").symlink_to(tmp_path / "elsewhere")
    assert find(tmp_path / "way") == []
    assert find(tmp_path / "nowhere") == []


def test_a_figure_is_part_of_the_sweep_of_its_experiment(tmp_path: Path) -> None:
    cell(tmp_path / "fig5" / "today" / "gpu_device")
    for name in ("results.csv", "fig5.svg", "fig5.csv"):
        (tmp_path / "fig5" / "today" / name).write_text("")
    assert [each.kind for each in find(tmp_path, ["fig5"])] == ["sweep"]
    assert [each.kind for each in find(tmp_path)] == ["cell"]
    (tmp_path / "fig5" / "today" / "mine.svg").write_text("")
    assert [each.kind for each in find(tmp_path, ["fig5"])] == ["cell"]


@pytest.mark.parametrize("held", ["sweep", "cell"])
def test_what_somebody_is_at_work_in_stays(tmp_path: Path, held: str) -> None:
    """Training and predicting hold no lock of the host, and a sweep between two cells holds none either."""
    cell(tmp_path / "sweep" / "0")
    (tmp_path / "sweep" / "notes.txt").write_text("so that its cells are found one by one")
    place = tmp_path / "sweep" if held == "sweep" else tmp_path / "sweep" / "0"
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (found,) = find(tmp_path)
    with pytest.raises(OSError, match="is running in"):
        found.remove()
    assert found.path.is_dir()
    os.close(descriptor)
    found.remove()
    assert not found.path.exists()


def test_a_socket_is_passed_by(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert find(tmp_path) == []
