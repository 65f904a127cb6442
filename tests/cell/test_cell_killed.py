"""SIGKILL at any moment: nothing of the run is left but its records so far."""

from __future__ import annotations

import json

import pytest

from tests.runs import Aftermath

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]


@pytest.mark.parametrize("phase", ["starting", "profiling", "measuring"])
def test_a_killed_run_leaves_no_process_namespace_interface_or_file(killed: dict[str, Aftermath], phase: str) -> None:
    left = killed[phase]
    assert any("tritonserver" in command for command in left.processes_before)
    assert len(left.namespaces_before) >= 2
    assert left.processes_after == []
    assert left.namespaces_after == set()
    assert left.interfaces == set()
    assert left.files == set()


@pytest.mark.parametrize("phase", ["starting", "profiling"])
def test_a_killed_run_has_its_spec_and_claims_nothing(killed: dict[str, Aftermath], phase: str) -> None:
    files = {path.name for path in killed[phase].folder.iterdir()}
    assert "spec.yaml" in files
    assert not files & {"status.json", "summary.json", "samples.jsonl", "report.html"}


def test_the_samples_of_a_killed_run_can_be_read(samples_of_the_killed: str) -> None:
    *lines, torn = samples_of_the_killed.split("\n")
    assert lines
    for line in lines:
        assert json.loads(line)["total_ms"] > 0
    assert torn == "" or not torn.endswith("}")
