"""An external Triton behind the shaped link: the device's bytes meet the link first, then this host's own network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.errors import CapabilityError, EdgeError, SpecError
from harness.offloader import shipping
from harness.offloader.runner import Runner, anchor, echo, measure
from harness.prediction.calibration import calibrate
from harness.results.records import read_json, read_samples, read_splits
from harness.results.schema import Key
from harness.spec import PROJECT, Spec
from harness.testbed.local import LocalTestbed
from harness.validation.server import cross_check
from tests.offloader.external_triton import HOST, Server, free_port, running

SPLIT = Key("split", 7, "maxpool")
#: Of a tier that waits: no test here needs TensorFlow but the slow ones.
RECORD: dict[str, Any] = {
    "terms_ms": {str(SPLIT): {
        "device": 6.0, "device_tl": 1.0, "serialize": 1.0, "deserialize": 1.0, "edge_tl": 1.0, "edge": 8.0,
    }},
    "payload_bytes": {str(SPLIT): 100_000},
    "classes": 1000,
    "last": 154,
}  # fmt: skip


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        composed = compose("config", ["model=mobilenetv2", "hardware=local", "bandwidth=57", "latency=28", *overrides])
    return Spec.from_config(composed)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("external")
    shipping.lay_out(folder / "models")
    with running(folder, folder / "models") as found:
        yield found


@pytest.mark.link
@pytest.mark.triton
@pytest.mark.parametrize("communicator", ["grpc", "http_binary"])
def test_the_same_requests_without_the_terms_of_two_clocks(server: Server, tmp_path: Path, communicator: str) -> None:
    port = server.http.rpartition(":")[2]
    given = spec(f"hardware.edge.url={server.grpc}", f"hardware.edge.http_port={port}", f"communicator={communicator}")
    bed = LocalTestbed(given, tmp_path)
    try:
        bed.__enter__()
    except CapabilityError as error:
        pytest.skip(str(error))
    try:
        bed.load({"device": RECORD, "edge": RECORD})
        assert bed.server["name"] == "triton"
        runner = Runner(bed.agent, bed.trace, request_timeout_s=30)
        runner.warm([echo(800_000)] * 5)
        before = bed.agent.call("statistics")
        requests = [measure(SPLIT), anchor(SPLIT), echo(2000), echo(400_000)]
        samples = list(runner.rounds(requests, 4, seed=0))
        server_says = cross_check(before, bed.agent.call("statistics"), [sample for _, sample in samples])
        bed.check_alive()
    finally:
        bed.__exit__(None, None, None)
    for request, sample in samples:
        assert not {"uplink", "queue", "downlink"} & set(sample.terms)
        if request.kind == "measure":
            assert set(sample.terms) == {"device", "device_tl", "serialize", "deserialize", "edge_tl", "edge"}
            # The link as it was asked for: 28 ms and 100 kB at 57 Mbit/s take 42 ms.
            assert 41 < sample.other_ms < 60
    assert server_says is not None
    assert (server_says["requests"], server_says["clocked"]["queue_ms"]) == (16, None)
    assert server_says["agrees"], server_says
    own = calibrate(
        {str(SPLIT): [sample for request, sample in samples if request.kind == "anchor"]},
        {size: [sample for request, sample in samples if request.name == str(size)] for size in (2000, 400_000)},
        link=bed.link,
        slowdown=1.0,
        response_bytes=runner.response_bytes,
        fingerprint={},
    )
    assert (own.downlink_excess_ms, own.other_ms) == (0.0, 0.0)
    assert all(0 < terms["uplink_excess"] < 10 and terms["queue"] == 0 for terms in own.echoes.values())


# -- what is refused ------------------------------------------------------------------------------------


def refused(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        app.check(spec(*overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_go_together_is_one_line(tmp_path: Path) -> None:
    url = "hardware.edge.url=edge.example:8001"
    assert "not host:port" in refused("hardware.edge.url=http://edge.example:8001")
    assert "the port '70000' is none" in refused("hardware.edge.url=edge.example:70000")
    assert "hardware.edge.models is for an external Triton alone" in refused("hardware.edge.models=load")
    assert "add hardware.edge.tls.enabled=true" in refused(url, f"hardware.edge.tls.ca={tmp_path}/ca.pem")
    tls = "hardware.edge.tls.enabled=true"
    assert "No such file" in refused(url, tls, f"hardware.edge.tls.ca={tmp_path}/ca.pem")
    (tmp_path / "ca.pem").write_text("")  # OpenSSL would take this for: whatever the system trusts
    assert "nothing in it begins with -----BEGIN" in refused(url, tls, f"hardware.edge.tls.ca={tmp_path}/ca.pem")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    assert "the PEM files cannot be used" in refused(url, tls, f"hardware.edge.tls.ca={tmp_path}/ca.pem")
    assert "are given together" in refused(url, tls, f"hardware.edge.tls.key={tmp_path}/ca.pem")
    assert "allowed: warm, idle, or mode=measure" in refused(url, "measure.connection=new")
    assert "cannot be predicted" in refused(url, "measure.connection=new")
    assert "known of gRPC, not of http_binary" in refused("communicator=http_binary", "measure.connection=new")
    assert "from a profile of the model alone" in refused("communicator=http_json", "predictor=regression")


@pytest.mark.link
def test_an_edge_that_is_not_there_ends_the_run_before_anything_is_up(tmp_path: Path) -> None:
    bed = LocalTestbed(spec(f"hardware.edge.url={HOST}:{free_port()}"), tmp_path / "logs")
    with pytest.raises(EdgeError, match="Connection refused; is Triton running there"):
        bed.__enter__()
    assert not (tmp_path / "logs").exists()


# -- whole cells ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.link
@pytest.mark.tensorflow
@pytest.mark.triton
@pytest.mark.parametrize("communicator", ["grpc", "http_json"])
def test_a_whole_cell_against_an_external_server(server: Server, tmp_path: Path, communicator: str) -> None:
    port = server.http.rpartition(":")[2]
    command = [
        sys.executable, "run.py", "model=mobilenetv2", "hardware=local", f"communicator={communicator}",
        f"hardware.edge.url={server.grpc}", f"hardware.edge.http_port={port}", "measure.samples=4", "measure.spread=6",
        "profile.rounds=4", "gate=ci", f"profile.dir={tmp_path}/profiles", f"hydra.run.dir={tmp_path}/cell",
    ]  # fmt: skip
    done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=400)
    assert done.returncode in (0, 3, 4), done.stdout[-2000:] + done.stderr[-2000:]
    summary = read_json(tmp_path / "cell" / "summary.json")
    assert summary["unavailable_terms"] == ["uplink", "queue", "downlink"]
    assert summary["communicator"] == communicator
    assert summary["server_statistics"]["agrees"], summary["server_statistics"]
    assert summary["mape"] < 0.1, json.dumps(summary["terms"])
    samples = read_samples(tmp_path / "cell")
    assert samples
    assert not any({"uplink", "queue", "downlink"} & set(sample.terms) for sample in samples)
    measured = [row for row in read_splits(tmp_path / "cell") if row.measured_ms]
    sent = [row for row in measured if row.key.candidate != "device-only"]
    assert all(row.network_measured_ms and row.other_measured_ms is None for row in sent)
    assert not any("other is" in reason or "is missing" in reason for reason in summary["reasons"])
    assert read_json(tmp_path / "cell" / "env.json")["edge"].startswith(HOST)


@pytest.mark.slow
@pytest.mark.link
@pytest.mark.tensorflow
@pytest.mark.triton
@pytest.mark.parametrize("models", ["found", "load"])
def test_a_deployment_on_an_external_server(tmp_path: Path, models: str) -> None:
    """Its folder `triton/python` is the repository of a server started by hand, or is sent to one that has nothing."""
    deployment = tmp_path / "deployment"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "run.py", "model=mobilenetv2", "hardware=local", "split=35", *arguments]
        return subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300)

    made = run("mode=deploy", "deploy.onnx=false", f"hydra.run.dir={deployment}")
    assert made.returncode == 0, made.stderr
    empty = tmp_path / "models"
    empty.mkdir()
    own = (deployment / "triton" / "python",) if models == "found" else (empty, "--model-control-mode=explicit")
    with running(tmp_path, own[0], *map(str, own[1:])) as server:
        done = run(
            "mode=measure", "hardware.edge.endpoint=per_cut", f"hardware.edge.deployment={deployment}",
            f"hardware.edge.url={server.grpc}", f"hardware.edge.models={models}", "measure.samples=4",
            f"hydra.run.dir={tmp_path}/cell",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (row,) = [row for row in read_splits(tmp_path / "cell") if row.measured_ms]
    assert str(row.key) == "split/35/maxpool/float32"
    assert row.samples == len(read_samples(tmp_path / "cell")) == 4
    summary = read_json(tmp_path / "cell" / "summary.json")
    assert summary["server_statistics"]["agrees"], summary["server_statistics"]
    assert read_json(tmp_path / "cell" / "env.json")["edge"].startswith(HOST)
