"""Sweeps on Ray, on a cluster of this host: the same as one after the other; what is timed goes to testbeds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from harness.errors import SpecError
from harness.results import attempts
from harness.results.cells import find_cells
from harness.spec import PROJECT
from harness.sweeps import testbeds
from netem import CapabilityError, choose_backend
from tests.cell.test_cell_recorded import compose_spec
from tests.cell.test_cell_training import pictures
from tests.prediction.recordings import block, toy_folder, write

MODELS = ("vgg16", "resnet101", "densenet169", "densenet201", "inception_v3")


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    typed = ["-m", f"hydra.sweep.dir={folder}", f"profile.dir={folder.parent / 'profiles'}", *arguments]
    return subprocess.run(
        [sys.executable, "run.py", *typed], cwd=PROJECT, capture_output=True, text=True, timeout=400, check=False
    )


def recordings(folder: Path) -> Path:
    """Made-up recordings of five models, a tier each."""
    for name, factor in (("device-tx2_gpu.dat", 1.0), ("edge-ampere.dat", 0.1)):
        blocks = [
            block(model, first, last, factor * seconds * (1 + 0.2 * place), output_size=size, tl_output_size=size // 4)
            for place, model in enumerate(MODELS)
            for first, last, seconds, size in ((0, 2, 0.01, 800_128), (3, 7, 0.02, 40_128), (8, 8, 0.03, 4128))
        ]
        write(folder / name, blocks)
    return folder


@pytest.mark.ray
@pytest.mark.slow
def test_a_grid_over_five_models_is_on_ray_what_it_is_in_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 models x 50 bandwidths x 20 round trips: a cell each model, the links a grid within it."""
    grid = (
        "mode=predict",
        "predictor=paper",
        f"model={','.join(MODELS)}",
        "hardware=gpu_device-gpu_edge",
        f"hardware.profiles={recordings(tmp_path / 'recorded')}",
        "bandwidth=1:100:50:log",
        "latency=0:95:20",
    )
    for name, launcher in (("serial", "cells"), ("ray", "ray")):
        started = time.perf_counter()
        done = sweep(tmp_path / name, *grid, f"hydra/launcher={launcher}")
        assert done.returncode == 0, done.stderr[-3000:]
        with capsys.disabled():
            print(f"\n5 models x 50 bandwidths x 20 round trips, {name}: {time.perf_counter() - started:.1f} s")
    serial, parallel = (find_cells(tmp_path / name) for name in ("serial", "ray"))
    assert [(cell.name, cell.status, cell.overrides) for cell in serial] == [
        (cell.name, cell.status, cell.overrides) for cell in parallel
    ]
    for one, other in zip(serial, parallel, strict=True):
        for file in ("whatif.csv", "splits.csv", "spec.yaml"):
            assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes()
        assert len((one.folder / "whatif.csv").read_text().splitlines()) == 1 + 50 * 20
    assert (tmp_path / "serial" / "results.csv").read_bytes() == (tmp_path / "ray" / "results.csv").read_bytes()

    again = sweep(tmp_path / "ray", *grid, "hydra/launcher=ray")
    assert again.returncode == 0, again.stderr[-3000:]
    assert {len(attempts.read(cell.folder)) for cell in parallel} == {1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mode=validate"], "no testbed is named for it; allowed: hydra.launcher.testbeds={iiot:NAME}"),
        (["mode=profile", "hydra.launcher.address=auto"], "no testbed is named for it"),
        (["mode=profile", "hydra.launcher.cpus=0"], "hydra.launcher.cpus=0"),
    ],
)
def test_what_is_timed_without_a_testbed_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = sweep(tmp_path / "sweep", "hydra/launcher=ray", "bandwidth=30,60", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_a_testbed_is_where_the_hardware_is() -> None:
    measured = compose_spec("mode=measure", "predictor=calibrated")
    assert testbeds.testbed_of(measured, {"iiot": "lab1"}, own_cluster=False) == "lab1"
    with pytest.raises(SpecError, match="testbed"):
        testbeds.testbed_of(measured, {"local": "lab1"}, own_cluster=True)
    assert testbeds.testbed_of(compose_spec(), {"iiot": "lab1"}, own_cluster=True) is None
    profiled = compose_spec("mode=profile", "predictor=calibrated")
    assert testbeds.testbed_of(profiled, {}, own_cluster=True) == testbeds.HERE


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbeds, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"scissionlite-harness\[ray\]"):
        testbeds.check(OmegaConf.create({"address": None, "testbeds": {}}), [])


@pytest.mark.ray
@pytest.mark.link
@pytest.mark.triton
@pytest.mark.slow
def test_measured_cells_take_turns_on_their_testbed(tmp_path: Path) -> None:
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    done = sweep(
        tmp_path / "sweep",
        "hydra/launcher=ray",
        "hydra.launcher.testbeds={gpu_device-gpu_edge:lab1}",
        "hardware=gpu_device-gpu_edge",
        f"hardware.profiles={toy_folder(tmp_path / 'toys')}",
        *("model=vgg16", "mode=measure", "bandwidth=30,60", "latency=5", "constraints.min_split=0"),
        *("measure.splits=[2,7]", "measure.samples=3", "measure.warmup=1"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = find_cells(tmp_path / "sweep")
    assert [cell.status for cell in cells] == ["ok", "ok"]
    spans = sorted(
        (record["started"], record["finished"])
        for record in (json.loads((cell.folder / "status.json").read_text()) for cell in cells)
    )
    assert spans[0][1] <= spans[1][0]


@pytest.mark.ray
@pytest.mark.tensorflow
@pytest.mark.slow
def test_trainings_run_beside_each_other(tmp_path: Path) -> None:
    done = sweep(
        tmp_path / "sweep",
        *("hydra/launcher=ray", "mode=train", "model=mobilenet", "split=10", "seed=1,2", "dataset=imagefolder"),
        *(f"dataset.path={pictures(tmp_path / 'pictures')}", "dataset.size=32", "train.epochs=1", "train.batch=8"),
        *("train.original.epochs=1", "train.original.batch=8", f"train.dir={tmp_path / 'trainings'}"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [cell.status for cell in find_cells(tmp_path / "sweep")] == ["ok", "ok"]
    assert all((tmp_path / "sweep" / cell / "accuracy.csv").exists() for cell in ("0", "1"))


@pytest.mark.ray
@pytest.mark.link
@pytest.mark.tensorflow
@pytest.mark.triton
@pytest.mark.slow
def test_profiles_are_made_one_at_a_time(tmp_path: Path) -> None:
    done = sweep(
        tmp_path / "sweep",
        *("hydra/launcher=ray", "mode=profile", "seed=1,2", "profile.rounds=3", "profile.warmup=1"),
        *("model=own", f"model.factory={PROJECT / 'docs/examples/two_branches.py'}:build", "model.name=two_branches"),
        *("model.input_shape=[97,131,3]", "constraints.min_split=0"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [cell.status for cell in find_cells(tmp_path / "sweep")] == ["ok", "ok"]
    assert len(list((tmp_path / "profiles").glob("two_branches-compiled-device-*.json"))) == 2
