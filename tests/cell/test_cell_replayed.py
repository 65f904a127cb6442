"""Replayed tiers over the real link and the real Triton: a pair, a device alone, one beside a computing tier."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness.cell.library import model_features
from harness.prediction.recorded import NPY_HEADER_BYTES
from harness.results.records import read_samples, read_splits
from harness.results.schema import COLUMNS, PROVENANCE_COLUMNS, Key, Row, Sample
from harness.spec import PROJECT, Spec
from netem import CapabilityError, choose_backend
from tests.prediction.recordings import block, toy_folder, write

pytestmark = [pytest.mark.link, pytest.mark.triton]

SMALL = ("measure.samples=3", "measure.warmup=1", "constraints.min_split=0", "latency=5", "bandwidth=50")
RECORDED_MS = {"device": 30.0, "device_tl": 1.0, "serialize": 0.5, "deserialize": 0.5, "edge_tl": 2.0, "edge": 3.1}


@dataclass(frozen=True)
class Ran:
    """A cell that ran to its end."""

    folder: Path
    rows: dict[Key, Row]
    summary: dict[str, Any]
    samples: list[Sample]

    def read(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / name).read_text())
        return record


def run(folder: Path, *arguments: str) -> Ran:
    """As a user types it."""
    try:
        choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))
    command = [sys.executable, "run.py", *SMALL, f"hydra.run.dir={folder}", f"profile.dir={folder.parent / 'profiles'}"]
    done = subprocess.run([*command, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, 3, 4), done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    return Ran(folder, {row.key: row for row in read_splits(folder)}, summary, read_samples(folder))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    tmp = tmp_path_factory.mktemp("replayed")
    toys = toy_folder(tmp / "toys")
    arguments = ("hardware=gpu_device-gpu_edge", f"hardware.profiles={toys}", "model=vgg16", "measure.splits=[2,7,8]")
    return run(tmp / "cell", *arguments, "measure.transfer_layers=[maxpool,none]")


def test_a_replayed_pair_is_predicted_measured_and_judged(pair: Ran) -> None:
    assert pair.read("status.json")["status"] == "ok"
    measured = {key for key, row in pair.rows.items() if row.measured_ms is not None}
    assert measured >= {
        Key("device-only"),
        Key("edge-only", None, "none", "uint8"),
        Key("split", 7, "maxpool"),
        Key("split", 7, "none"),
        Key("split", 8, "none"),
    }
    for key in measured:
        row = pair.rows[key]
        assert row.forecast_ms is not None
        assert row.paper_ms is not None
        assert row.predicted_ms == pytest.approx(row.measured_ms, rel=0.3)


def test_no_term_is_shorter_than_its_recording_and_their_sum_is_the_request(pair: Ran) -> None:
    own = [sample for sample in pair.samples if sample.key == Key("split", 7, "maxpool")]
    assert len(own) == 3
    for sample in own:
        for tier in (("device", "device_tl", "serialize"), ("deserialize", "edge_tl", "edge")):
            assert sum(sample.terms[term] for term in tier) >= sum(RECORDED_MS[term] for term in tier) - 1e-3
        assert sum(sample.terms.values()) + sample.other_ms == pytest.approx(sample.total_ms)
    for row in pair.rows.values():
        assert row.predicted_terms.get("device", 0.0) <= 61.0 + 1e-6


def test_the_result_says_what_was_replayed_and_what_estimated(pair: Ran) -> None:
    assert {tier: own["system"] for tier, own in pair.summary["replayed"].items()} == {
        "device": "tx2_gpu",
        "edge": "ampere",
    }
    assert pair.summary["replayed"]["edge"]["file"] == "edge-ampere.dat"
    assert {term for each in pair.summary["estimated"] for term in each["terms"]} == {"serialize", "deserialize"}
    assert all(each["method"] for each in pair.summary["estimated"])
    for tier in ("device", "edge"):
        off = pair.summary["replay"][tier]["off_ms"]
        assert 0 <= off["p50"] <= off["p95"] <= off["max"]
    with (pair.folder / "splits.csv").open() as file:
        header = next(csv.reader(file))
    assert tuple(header) == (*COLUMNS, *PROVENANCE_COLUMNS)
    assert pair.rows[Key("split", 7, "none")].estimated == ("serialize", "deserialize")
    assert pair.rows[Key("split", 7, "maxpool")].estimated == ()
    assert pair.rows[Key("split", 7, "maxpool")].replayed == tuple(RECORDED_MS)
    assert "device replayed (tx2_gpu)" in pair.summary["title"]
    assert "partly estimated" in (pair.folder / "cuts.svg").read_text()


def test_what_crossed_the_link_are_tensors_without_a_header(pair: Ran) -> None:
    assert pair.rows[Key("split", 7, "maxpool")].payload_bytes == 10_000
    assert pair.rows[Key("split", 7, "none")].payload_bytes == 40_000
    assert pair.rows[Key("edge-only", None, "none", "float32")].payload_bytes == 224 * 224 * 3 * 4
    uplink = pair.rows[Key("split", 2, "none")].measured_terms["uplink"]
    assert uplink > 80_000 * 8 / 50e3  # at 50 Mbit/s


def test_no_process_of_a_replayed_pair_imports_tensorflow(pair: Ran) -> None:
    environment = pair.read("env.json")
    assert "tensorflow" not in environment["agent"]["versions"]
    assert environment["server"]["name"] == "triton"
    assert not list((pair.folder.parent / "profiles").glob("*vgg16*-device-*"))


def test_a_device_alone_has_one_candidate_and_no_server(tmp_path: Path) -> None:
    toys = toy_folder(tmp_path / "toys")
    arguments = ("hardware=gpu_device", f"hardware.profiles={toys}", "model=vgg16", "measure.splits=[2,7]")
    ran = run(tmp_path / "cell", *arguments)
    (row,) = ran.rows.values()
    assert (row.key, row.predicted_ms) == (Key("device-only"), pytest.approx(61))
    assert row.measured_ms is not None
    assert row.measured_ms >= 61
    assert not (ran.folder / "logs" / "triton.log").exists()


# -- beside a tier that computes ------------------------------------------------------------------------------------

MODEL = ("model=mobilenetv2", "profile.rounds=2", "profile.warmup=1", "profile.eager_rounds=0", "profile.anchors=2")


@pytest.fixture(scope="module")
def recorded_mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up recordings of today's MobileNetV2, on both tiers, with its true tensor sizes at some cuts."""
    tmp = tmp_path_factory.mktemp("mobilenet")
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        spec = Spec.from_config(compose("config", ["model=mobilenetv2", f"profile.dir={tmp / 'profiles'}"]))
    features = model_features(spec)
    chosen = [features.cuts[place] for place in (0, 10, 30, 60)]
    for name, factor in (("device-tx2_gpu.dat", 1.0), ("edge-ampere.dat", 0.1)):
        records, first = [], 0
        for cut in chosen:
            height, width, channels = cut.shape
            size = 4 * height * width * channels
            small = 4 * -(-height // 2) * -(-width // 2) * channels
            sizes = {"output_size": size + NPY_HEADER_BYTES, "tl_output_size": small + NPY_HEADER_BYTES}
            records.append(block("mobilenetv2", first, cut.index, factor * 0.02, **sizes))
            first = cut.index + 1
        records.append(block("mobilenetv2", first, features.last, factor * 0.02, tl_output_size=0))
        write(tmp / "recordings" / name, records)
    return tmp / "recordings"


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("hardware", "replayed"), [("gpu_device-local_edge", "device"), ("local_device-gpu_edge", "edge")]
)
def test_a_replayed_tier_beside_one_that_computes(recorded_mobilenet: Path, hardware: str, replayed: str) -> None:
    folder = recorded_mobilenet.parent / hardware
    ran = run(folder, f"hardware={hardware}", f"hardware.profiles={recorded_mobilenet}", *MODEL)
    assert set(ran.summary["replayed"]) == set(ran.summary["replay"]) == {replayed}
    splits = {key.split for key in ran.rows if key.split is not None}
    assert len(splits) == 4
    own = {"device": {"device", "device_tl", "serialize"}, "edge": {"deserialize", "edge_tl", "edge"}}[replayed]
    for key, row in ran.rows.items():
        if key.split is not None and key.transfer_layer == "maxpool":
            assert set(row.replayed) == own
            assert row.layer  # of today's model
        if row.measured_ms is not None and key.split is not None:
            assert row.measured_terms[replayed] == pytest.approx(row.predicted_terms[replayed], rel=0.2)
    assert ("tensorflow" in ran.read("env.json")["agent"]["versions"]) == (replayed == "edge")
    other = "edge" if replayed == "device" else "device"
    assert list(ran.read("env.json")["profiles"]) == [other]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_profile_of_ours_is_replayed_as_it_was_measured(recorded_mobilenet: Path) -> None:
    """What hardware=local exported runs again without TensorFlow, every cut and every picture format of it."""
    tmp = recorded_mobilenet.parent
    export = tmp / "exported.json"
    first = run(tmp / "made", "mode=profile", "hardware=local", f"profile.export={export}", *MODEL)
    again = run(tmp / "again", "hardware=replay", f"hardware.profiles={export}", *MODEL, "measure.spread=3")
    assert again.rows.keys() == first.rows.keys()
    assert again.summary["estimated"] == []
    for key, row in again.rows.items():
        for term in ("device", "edge"):
            if term in row.predicted_terms:
                assert row.predicted_terms[term] == pytest.approx(first.rows[key].predicted_terms[term], rel=1e-6)
    assert "tensorflow" not in again.read("env.json")["agent"]["versions"]
    assert again.summary["measured_candidates"] > 5
