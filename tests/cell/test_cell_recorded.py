"""mode=predict on recorded hardware, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.errors import SpecError
from harness.results.records import read_splits
from harness.results.schema import Key, Row
from harness.spec import PROJECT, Spec
from tests.prediction.recordings import RECORDED, recorded, toy_folder, toy_tier

HARDWARE = (
    "cpu_device",
    "gpu_device",
    "cpu_device-cpu_edge",
    "cpu_device-gpu_edge",
    "gpu_device-cpu_edge",
    "gpu_device-gpu_edge",
)


def compose_spec(*arguments: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", ["mode=predict", "predictor=paper", *arguments]))


def cell(folder: Path, *arguments: str) -> tuple[dict[Key, Row], dict[str, Any]]:
    """A whole cell, in this process."""
    assert app.run_cell(compose_spec(*arguments), folder) == 0
    return outcome(folder)


def outcome(folder: Path) -> tuple[dict[Key, Row], dict[str, Any]]:
    status = json.loads((folder / "status.json").read_text())
    assert (status["status"], status["verdict"]) == ("ok", None)
    Spec.from_yaml((folder / "spec.yaml").read_text())
    return {row.key: row for row in read_splits(folder)}, json.loads((folder / "summary.json").read_text())


def refusal(*arguments: str) -> str:
    with pytest.raises(SpecError) as caught:
        app.check(compose_spec(*arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As a user types it."""
    command = [sys.executable, "run.py", "mode=predict", "predictor=paper", f"hydra.run.dir={folder}", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.recorded
def test_every_recorded_split_of_vgg16_has_the_paper_s_answer(tmp_path: Path) -> None:
    done = call(
        tmp_path / "cell",
        "hardware=gpu_device-gpu_edge",
        f"hardware.profiles={os.path.relpath(recorded(), PROJECT)}",
        "model=vgg16",
        "bandwidth=58.8",
        "latency=27.4",
    )
    assert done.returncode == 0, done.stderr
    assert "Ranking by latency" in done.stdout
    rows, summary = outcome(tmp_path / "cell")
    splits = {key.split for key in rows if key.split is not None}
    assert splits == set(range(1, 22))
    for key, row in rows.items():
        if key.transfer_layer == "maxpool" and key.split is not None:
            possible = key.split <= 18
            assert (row.paper_ms is not None) == possible
            assert possible or (not row.feasible and row.infeasible_because)
        if key.transfer_layer == "none" and key.candidate != "device-only":
            assert row.paper_ms is None  # S_Orig is recorded nowhere
        assert row.predicted_ms == row.forecast_ms
        assert row.measured_ms is None
    assert rows[Key("split", 18, "maxpool")].payload_bytes == 18_560
    assert rows[Key("split", 18, "maxpool")].equations.keys() == {"e_tl_ms", "s_tl_ms", "c_tl_ms", "c_orig_ms"}
    assert summary["recordings"]["edge"]["file"] == "edge-ampere.dat"
    assert summary["payload_includes_npy_header_bytes"] == 128
    (left_out,) = summary["estimated"]
    assert "S_Orig" in left_out["method"]
    assert {Key.parse(text).transfer_layer for text in left_out["candidates"]} == {"none"}


@pytest.mark.recorded
@pytest.mark.parametrize("hardware", HARDWARE)
def test_the_paper_s_six_configurations(tmp_path: Path, hardware: str) -> None:
    rows, summary = cell(tmp_path / "cell", f"hardware={hardware}", f"hardware.profiles={recorded()}")
    systems = {tier: own["system"] for tier, own in summary["recordings"].items()}
    device, _, edge = hardware.partition("-")
    assert systems["device"] == {"cpu_device": "tx2_cpu", "gpu_device": "tx2_gpu"}[device]
    assert systems.get("edge") == {"": None, "cpu_edge": "titan_cpu", "gpu_edge": "ampere"}[edge]
    assert (set(rows) == {Key("device-only")}) == (edge == "")
    paper = [row.paper_ms for row in rows.values() if row.key.transfer_layer == "maxpool" or edge == ""]
    assert sum(ms is not None for ms in paper) == (20 if edge else 1)


@pytest.mark.recorded
def test_the_edge_under_triton(tmp_path: Path) -> None:
    arguments = (f"hardware.profiles={recorded()}", "hardware.edge.runtime=triton")
    rows, summary = cell(tmp_path / "cell", "hardware=cpu_device-gpu_edge", *arguments)
    assert summary["recordings"]["edge"]["runtime"] == "triton"
    assert sum(row.paper_ms is not None for row in rows.values() if row.key.split is not None) == 20
    assert ["deserialize", "edge_tl"] in [estimate["terms"] for estimate in summary["estimated"]]
    assert summary["flags"][0]["longer"] == "layers after 50"
    line = refusal("hardware=gpu_device-gpu_edge", *arguments, "model=resnet101")
    assert "nobody recorded resnet101 on ampere under triton" in line
    assert "densenet169" in line


def toy(tmp_path: Path, *arguments: str) -> tuple[str, ...]:
    folder = toy_folder(tmp_path / "toys")
    return ("hardware=gpu_device-gpu_edge", f"hardware.profiles={folder}", "model=vgg16", *arguments)


def test_that_nothing_is_feasible_is_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, summary = cell(
        tmp_path / "cell", *toy(tmp_path, "constraints.max_latency_ms=1", "constraints.min_split=0", "rank.top=2")
    )
    assert not [row for row in rows.values() if row.feasible]
    ranking = summary["ranking"]
    assert ranking["feasible"] == []
    assert len(ranking["near_misses"]) == 2
    (breach,) = ranking["near_misses"][0]["breaks"]
    assert breach["constraint"] == "max_latency_ms"
    assert breach["by"] == pytest.approx(ranking["near_misses"][0]["latency_ms"] - 1)
    assert ranking["sentence"] in capsys.readouterr().out
    assert ranking["sentence"].startswith("No candidate is feasible")


def test_constraints_and_the_objective_decide_the_ranking(tmp_path: Path) -> None:
    _, summary = cell(
        tmp_path / "cell",
        *toy(tmp_path, "constraints.min_split=0", "constraints.max_device_ms=35", "constraints.objective=payload"),
    )
    ranking = summary["ranking"]
    assert ranking["objective"] == "payload"
    assert [place["candidate"] for place in ranking["feasible"]][:2] == [
        "split/7/maxpool/float32",
        "split/2/maxpool/float32",
    ]
    broken = {place["candidate"]: place["breaks"][0]["constraint"] for place in ranking["near_misses"]}
    assert broken == {"device-only": "max_device_ms", "split/8/none/float32": "max_device_ms"}


def test_a_grid_of_links_says_who_wins_where(tmp_path: Path) -> None:
    _, summary = cell(tmp_path / "cell", *toy(tmp_path, "bandwidth=[1,10,1000]", "latency=[1,30]"))
    assert summary["whatif"]["points"] == 6
    assert (tmp_path / "cell" / "whatif.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["hardware.profiles=null"], ["hardware.profiles=null", "set hardware.profiles=FOLDER"]),
        (["hardware.profiles=/nowhere"], ["hardware.profiles: no folder at '/nowhere'"]),
        (["model=resnet50"], ["nobody recorded resnet50 on tx2_gpu", "holds vgg16"]),
        (["predictor=calibrated"], ["predictor=calibrated", "allowed: predictor=paper"]),
        (["wire_format=uint8"], ["uint8", "float32"]),
        (["mode=profile"], ["mode=profile", "is recorded", "mode=predict, validate, measure"]),
        (["mode=validate", "predictor=regression"], ["predictor=regression", "calibrated"]),
        (["mode=validate", "measure.transfer_layers=[maxpool,avgpool]"], ["avgpool", "recorded nowhere"]),
        (["mode=validate", "measure.splits=[2,3]"], ["measure.splits: 3 is no cut", "the nearest is 2"]),
        (["hardware.edge.system=local"], ["a tier of this host", "mode=validate"]),
        (["mode=validate", "hardware.edge.system=local", "hardware.device.system=none"], ["nobody recorded", "none"]),
        (["link.jitter_ms=2"], ["link", "jitter"]),
        (["profile.file=other.json"], ["profile.file=other.json", "is recorded"]),
        (["constraints.device_layers=[block1_conv1]"], ["no layer 'block1_conv1'", "from 0 to 9"]),
        (["constraints.edge_layers=[12]"], ["no layer 12", "from 0 to 9"]),
        (["constraints.max_device_memory_bytes=1"], ["knows no memory"]),
        (["constraints.max_split=3"], ["constraints.max_split=3", "constraints.min_split=5"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line(tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    line = refusal(*toy(tmp_path, *arguments))
    assert [part for part in parts if part not in line] == []


def test_a_file_is_for_hardware_that_names_no_recording(tmp_path: Path) -> None:
    file = tmp_path / "exported.json"
    file.write_text("{}")
    line = refusal("mode=validate", "hardware=gpu_device-gpu_edge", f"hardware.profiles={file}")
    assert "names the recording tx2_gpu" in line
    assert "hardware=replay" in line
    line = refusal("mode=validate", "hardware=replay", f"hardware.profiles={file}")
    assert "exported.json cannot be used" in line


def test_a_damaged_recording_is_exit_code_2_and_nothing_is_made(tmp_path: Path) -> None:
    arguments = toy(tmp_path)
    path = toy_tier(tmp_path / "toys" / "edge-ampere.dat")
    path.write_bytes(path.read_bytes()[:100])
    done = call(tmp_path / "cell", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "edge-ampere.dat" in line
    assert not (tmp_path / "cell").exists()


def test_the_recordings_are_not_part_of_the_project() -> None:
    assert not RECORDED.is_relative_to(PROJECT)
