"""One real local testbed: agent, tritonserver, shaped link. The tests share it; the last one closes it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from experiments import witness
from harness.cell import accuracy
from harness.dnn import inputs
from harness.errors import CapabilityError, DeviceError, EdgeError
from harness.offloader.runner import Runner, anchor, echo, measure
from harness.prediction.link_theory import request_ms
from harness.results.schema import TERMS, TIER_TERMS, Key
from harness.spec import PROJECT, Spec
from harness.testbed import local
from harness.testbed.conditions import Conditions
from harness.testbed.local import LocalTestbed
from harness.transfer.encoding import Encoding
from netem import ProbeError
from tests import processes
from tests.testbed import edge_visitor, local_answers

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]

NONE_AT = (7, 80, 152)  # early, middle and last cut of MobileNetV2
MAXPOOL_AT = 35


@dataclass
class Bed:
    """An entered and loaded testbed, and what the host looked like before."""

    testbed: LocalTestbed
    runner: Runner
    loaded: dict[str, Any]
    files_before: set[str]
    interfaces_before: set[str]
    listening_before: set[str]
    pids: list[int]
    namespaces: set[str]


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        composed = compose("config", ["model=mobilenetv2", "hardware=local", "bandwidth=57", "latency=28", *overrides])
    return Spec.from_config(composed)


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    files, interfaces = processes.temporary_files(), processes.interfaces()
    listening = processes.listening_sockets([os.getpid()])
    mark = f"bed-{os.getpid()}"
    testbed = LocalTestbed(spec(), tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(processes.MARK, mark)
        try:
            testbed.__enter__()
        except CapabilityError as error:
            pytest.skip(str(error))
    try:
        loaded = testbed.load()
        runner = Runner(testbed.agent, testbed.trace, request_timeout_s=60)
        pids = processes.marked(mark)
        yield Bed(testbed, runner, loaded, files, interfaces, listening, pids, processes.network_namespaces(pids))
    finally:
        testbed.__exit__(None, None, None)


def top_class(bed: Bed, name: str) -> int:
    request = {
        "kind": "measure",
        "name": name,
        "order": 0,
        "request_id": "",
        "paced": False,
        "idle_ms": 0.0,
        "connection": "warm",
        "pause_ms": 0.0,
    }
    (answer,) = bed.testbed.agent.run([request], 120)
    return int(answer["top_class"])


def test_the_agent_and_the_server_say_what_they_are(bed: Bed) -> None:
    assert bed.testbed.server == {"name": "triton", "version": "2.51.0"}
    assert bed.loaded["input_shape"] == [224, 224, 3]
    assert {cut["index"] for cut in bed.loaded["cuts"]} >= {*NONE_AT, MAXPOOL_AT}
    assert bed.loaded["pictures"]["float32"] == 224 * 224 * 3 * 4
    assert bed.loaded["pictures"]["uint8"] == 224 * 224 * 3
    described = bed.testbed.agent.call("describe")
    assert described["affinity"] == [0]
    assert described["versions"]["tensorflow"]
    bed.testbed.check_alive()


def test_wherever_the_network_is_cut_the_answer_is_the_same(bed: Bed) -> None:
    whole = top_class(bed, "device-only")
    for name in ("edge-only/float32", *(f"split/{cut}/none/float32" for cut in NONE_AT)):
        assert top_class(bed, name) == whole, name


def test_what_stands_in_the_cut_answers_over_the_link_as_in_one_process(bed: Bed) -> None:
    names = [
        f"split/{MAXPOOL_AT}/bottleneck/uint8",
        f"split/{MAXPOOL_AT}/maxpool:pool=3/float32",
        f"split/{MAXPOOL_AT}/maxpool:pool=3,interpolation=bilinear/uint8+zlib!random",
        f"split/{NONE_AT[1]}/avgpool:pool=4/float16",
        f"split/{NONE_AT[0]}/autoencoder:depth=2/uint8:percentile=99.9+zstd",
    ]
    model = bed.testbed.spec.model.model_dump(
        include={"name", "architecture", "input_shape", "preprocessing", "weights"}, mode="json"
    )
    done = subprocess.run(
        [sys.executable, local_answers.__file__, json.dumps(model), *names],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=True,
    )
    assert {name: top_class(bed, name) for name in names} == json.loads(done.stdout)
    sizes = bed.testbed.agent.call("sizes", keys=names)
    shapes = {cut["index"]: tuple(cut["shape"]) for cut in bed.loaded["cuts"]}
    for key in map(Key.parse, names):
        own = Encoding.of(key)
        raw = replace(own, wire_format=own.wire_format.partition("+")[0]).payload_bytes(shapes[key.split or 0])
        assert raw is not None
        assert sizes[str(key)] < raw if own.content_dependent else sizes[str(key)] == raw


def test_every_term_is_there_and_they_are_the_whole_request(bed: Bed) -> None:
    splits = [Key("split", MAXPOOL_AT, "maxpool"), Key("split", NONE_AT[0], "none")]
    others = [Key("device-only"), Key("edge-only", None, "none", "jpeg")]
    requests = [measure(key) for key in (*splits, *others)]
    bed.runner.warm([echo(800_000)] * 3)
    bed.runner.warm(requests)
    found: dict[Key, list[Any]] = {}
    for _, sample in bed.runner.rounds(requests, 5, seed=0):
        found.setdefault(sample.key, []).append(sample)
    assert found.keys() == {*splits, *others}
    for samples in found.values():
        for sample in samples:
            assert all(ms >= 0 for ms in sample.terms.values())
            assert sum(sample.terms.values()) + sample.other_ms == pytest.approx(sample.total_ms, abs=1e-6)
        assert 0 <= median(sample.other_ms / sample.total_ms for sample in samples) < 0.01
    assert set(found[splits[0]][0].terms) == set(TERMS)
    assert set(found[splits[1]][0].terms) == set(TERMS) - {"device_tl", "edge_tl"}
    assert set(found[others[0]][0].terms) == {"device"}
    assert set(found[others[1]][0].terms) == set(TERMS) - {"device", "device_tl", "edge_tl"}


def test_the_link_costs_what_theory_says(bed: Bed) -> None:
    sizes = (2_000, 400_000)
    network: dict[str, list[float]] = {}
    for request, sample in bed.runner.rounds([echo(size) for size in sizes], 7, seed=1):
        inside = sum(sample.terms.get(term, 0.0) for term in TIER_TERMS)
        network.setdefault(request.name, []).append(sample.total_ms - inside)
    for size in sizes:
        theory_ms = request_ms(bed.testbed.link, size, bed.runner.response_bytes)
        assert theory_ms <= median(network[str(size)]) <= 1.10 * theory_ms + 8


def test_an_anchor_is_its_request_without_the_payload_on_the_link(bed: Bed) -> None:
    key = Key("split", NONE_AT[0], "none")  # 0.8 MB: 110 ms on the link
    requests = [measure(key), anchor(key)]
    bed.runner.warm(requests)
    uplink: dict[str, list[float]] = {}
    for request, sample in bed.runner.rounds(requests, 5, seed=2):
        assert sample.terms["edge"] > 0
        uplink.setdefault(request.kind, []).append(sample.terms["uplink"])
    assert median(uplink["anchor"]) < median(uplink["measure"]) / 2


def test_packet_captures_at_both_ends_agree_with_the_terms(bed: Bed) -> None:
    """How near they come is measured by experiments/witness.py: the rest is what gRPC takes to wake up and to parse."""
    requests = [measure(Key("split", MAXPOOL_AT, "maxpool")), echo(2_000), echo(200_000)]
    bed.runner.warm(requests)
    found = list(witness.observe(bed.testbed, bed.runner, requests, 6))
    assert len(found) == 6 * len(requests)
    for one in found:  # nothing is complete before its last segment, nor on its way before it was handed over
        assert min(getattr(one, end) for end in witness.ENDS) > -0.1
        assert one.uplink_ms == pytest.approx(one.wire_up_ms + one.before_up_ms + one.after_up_ms, abs=0.01)
        assert one.downlink_ms == pytest.approx(one.wire_down_ms + one.before_down_ms + one.after_down_ms, abs=0.01)
    for name in {one.name for one in found}:
        own = [one for one in found if one.name == name]  # the host may be busy with other things in some rounds
        assert min(one.uplink_ms / one.wire_up_ms for one in own) < 1.1
        assert min(one.downlink_ms / one.wire_down_ms for one in own) < 1.1
    sizes = {one.name: one.wire_bytes for one in found}
    assert 2_000 < sizes["2000"] < 3_000
    assert 200_000 < sizes["200000"] < 201_000


def test_a_sample_is_tied_to_the_step_of_the_trace_that_it_met(bed: Bed, tmp_path: Path) -> None:
    fast_mbps, slow_mbps, payload_bytes = 50.0, 10.0, 40_000
    (tmp_path / "up.csv").write_text(f"t_s,rate_mbps\n0,{fast_mbps}\n1,{slow_mbps}\n2,{slow_mbps}\n")
    conditions = Conditions(spec("link=trace", f"link.trace={tmp_path / 'up.csv'}", "link.loop=true"))
    with conditions.in_force(bed.testbed.sandbox, bed.testbed.applied, tmp_path):
        found = [sample for _, sample in bed.runner.rounds([echo(payload_bytes)], 40, seed=3)]
    with (tmp_path / "trace.csv").open() as file:
        steps = [(int(row["applied_ns"]), float(row["rate_mbps"])) for row in csv.DictReader(file)]
    uplink: dict[float, list[float]] = {}
    for sample in found:
        assert sample.started_ns is not None
        at = bisect([applied_ns for applied_ns, _ in steps], sample.started_ns) - 1
        assert at >= 0
        after_ns = steps[at + 1][0] if at + 1 < len(steps) else sample.started_ns + 10**9
        if sample.started_ns + sample.total_ms * 1e6 < after_ns:  # all of it within one step
            uplink.setdefault(steps[at][1], []).append(sample.terms["uplink"])
    bare_ms = payload_bytes * 8 / 1e3 * (1 / slow_mbps - 1 / fast_mbps)
    assert median(uplink[slow_mbps]) - median(uplink[fast_mbps]) == pytest.approx(bare_ms, rel=0.15)


def test_what_the_edge_cannot_do_is_one_line_and_it_lives_on(bed: Bed) -> None:
    done = bed.testbed.sandbox.popen(
        "device",
        [sys.executable, edge_visitor.__file__, bed.testbed.edge_url],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
    )
    output, _ = done.communicate(timeout=120)
    results = json.loads(output)
    assert results.pop("echo") == "(1, 1000)"
    assert results.keys() == edge_visitor.REQUESTS.keys()
    for name, message in results.items():
        assert message.startswith(f"a request to the edge at {bed.testbed.edge_url} failed: "), name
        assert "\n" not in message, name
        assert len(message) < 600, name
    bed.testbed.check_alive()
    assert top_class(bed, f"split/{NONE_AT[1]}/none/float32") == top_class(bed, "device-only")


def test_a_picture_has_the_same_class_over_the_link_and_offline(bed: Bed) -> None:
    images = [(picture, 0) for picture in inputs.crops((224, 224, 3), 4, seed=7)]
    keys = [Key("split", MAXPOOL_AT, "maxpool"), Key("edge-only", None, "none", "jpeg"), Key("device-only")]
    for key in keys:
        found = accuracy.classify(bed.testbed.agent, key, images, len(images), lambda *_: None)
        assert all(each.agree for each in found), key
        assert max(each.difference for each in found) < 1e-6


def test_errors_of_edge_and_device_come_through_the_agent_in_one_line(bed: Bed) -> None:
    agent = bed.testbed.agent
    with pytest.raises(EdgeError, match="dance") as caught:
        agent.edge("dance")
    assert "\n" not in str(caught.value)
    for name in ("split/99999/maxpool/float32", "split/7/magic/float32", "nonsense"):
        with pytest.raises(DeviceError) as refused:
            top_class(bed, name)
        assert "\n" not in str(refused.value)
    with pytest.raises(DeviceError, match="dance") as unknown:
        agent.call("dance")
    assert "\n" not in str(unknown.value)
    assert top_class(bed, "device-only") >= 0


def test_no_port_is_open_outside_the_namespaces_of_the_run(bed: Bed) -> None:
    assert any("tritonserver" in processes.command(pid) for pid in bed.pids)
    assert any("harness.testbed.agent" in processes.command(pid) for pid in bed.pids)
    assert len(bed.namespaces) >= 2
    assert processes.listening_sockets([os.getpid(), *bed.pids]) == bed.listening_before
    assert processes.interfaces() <= bed.interfaces_before
    listening = bed.testbed.sandbox.call("edge", lambda: Path("/proc/thread-self/net/tcp").read_text())
    open_at = {line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"}
    assert open_at == {"020012C6:1F41"}  # 198.18.0.2:8001, and nothing else


def test_a_dead_server_is_one_line_and_nothing_is_left_after_closing(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    server = next(pid for pid in bed.pids if "bin/tritonserver " in processes.command(pid))
    os.kill(server, 9)
    with pytest.raises(EdgeError, match=r"^triton ended with code -9: ") as caught:
        bed.testbed.agent.edge("prepare", works=[])
    assert "\n" not in str(caught.value)

    def timed_out(*_: Any, **__: Any) -> None:
        raise ProbeError("the link could not be measured: timed out")

    monkeypatch.setattr(local, "probe", timed_out)
    with pytest.raises(EdgeError, match=r"^triton ended with code -9: "):  # what a probe only timed out on
        bed.testbed.probe()
    bed.testbed.__exit__(None, None, None)
    assert [pid for pid in bed.pids if Path(f"/proc/{pid}").exists()] == []
    assert processes.living(bed.namespaces) == set()
    assert processes.temporary_files() <= bed.files_before
    assert processes.interfaces() <= bed.interfaces_before
