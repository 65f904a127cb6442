"""A GPU that the spec asks for: found by its driver, part of a fingerprint, one line where it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.cell.cache import ProfileCache, tier_fingerprint
from harness.errors import SpecError
from harness.spec import PROJECT, Spec
from harness.testbed import gpu

#: FAKE nvidia-smi, with the answer of a real one for these fields.
_PROGRAM = """\
#!/bin/sh
for argument; do case $argument in --id=0) found=1;; esac; done
if [ -z "$found" ]; then echo "No devices were found"; exit 6; fi
echo "NVIDIA H200, {driver}, GPU-7f00, 1980, 3201, 345, 2619, P0, 31, 700.00"
"""


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", ["model=mobilenetv2", "hardware=local", *overrides]))


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "570.86.15") -> None:
    program = folder / "nvidia-smi"
    program.write_text(_PROGRAM.format(driver=version))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def refused(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        app.check(spec(*overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_gpu_where_there_is_none_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "hardware.device.processor=gpu: this host has no NVIDIA driver" in refused("hardware.device.processor=gpu")
    assert "hardware.edge.processor=gpu: this host" in refused("hardware.edge.processor=gpu")
    driver(tmp_path, monkeypatch)
    asked = ("hardware.device.processor=gpu", "hardware.device.gpu=3")
    assert "there is no GPU 3 on this host: No devices were found" in refused(*asked)
    assert SpecError.exit_code == 2


def test_an_emulated_board_or_a_replayed_tier_has_no_gpu() -> None:
    assert "is emulated by the CPU time" in refused("hardware.device.processor=gpu", "hardware.device.slowdown=4")
    with pytest.raises(SpecError, match=r"unknown key|computes nothing"):
        spec("hardware=gpu_device-gpu_edge", "+hardware.edge.processor=gpu")


def test_what_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch)
    found = gpu.find(0, "hardware.edge.processor")
    assert (found.name, found.driver, found.uuid) == ("NVIDIA H200", "570.86.15", "GPU-7f00")
    assert found.identity() == {
        "name": "NVIDIA H200",
        "driver": "570.86.15",
        "clocks.max.sm": "1980",
        "clocks.max.mem": "3201",
        "power.limit": "700.00",
    }
    assert found.record()["clocks"]["clocks.sm"] == "345"


def test_a_profile_belongs_to_a_gpu_and_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("hardware.edge.processor=gpu", f"profile.dir={tmp_path}")
    driver(tmp_path, monkeypatch)
    on_gpu = spec(*asked)
    assert tier_fingerprint(on_gpu, "edge")["processor"]["name"] == "NVIDIA H200"
    assert tier_fingerprint(on_gpu, "device")["processor"] == {"kind": "cpu"}
    paths = [ProfileCache(on_gpu).paths["edge"], ProfileCache(spec(f"profile.dir={tmp_path}")).paths["edge"]]
    driver(tmp_path, monkeypatch, "571.00")
    paths.append(ProfileCache(on_gpu).paths["edge"])
    assert len(set(paths)) == 3
