"""What is wrong with a cell is said before anything of it exists."""

from __future__ import annotations

import shlex

import pytest
from hydra import compose, initialize_config_dir

from harness.cell import check
from harness.errors import SpecError
from harness.spec import PROJECT, Spec
from tests import repository

#: Commands in README and guides that ask for a link of their own; those with flags are tried elsewhere.
LINKS = [
    command
    for document in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
    for command in repository.commands(document)
    if "run.py" in command and " --" not in command and (" link" in command or " measure.connection" in command)
]


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("gate.enabled=false",), "there is no gate to test"),
        (("link=fiveg",), "link=fiveg has none"),
        (("link=fiveg", "hardware=gpu_device-gpu_edge"), "link=fiveg has none"),
        (("hardware=gpu_device",), "hardware=gpu_device has no edge"),
    ],
)
def test_a_self_test_that_cannot_be_done_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        check(spec("gate.selftest=true", *overrides))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", LINKS)
def test_a_link_that_is_shown_is_not_refused(command: str) -> None:
    check(spec(*(word for word in shlex.split(command) if "=" in word)))


def test_a_grid_under_a_time_limit_is_refused_before_anything_is_written() -> None:
    with pytest.raises(SpecError, match=r"constraints\.max_latency_ms says nothing of the other links"):
        check(spec("mode=predict", "bandwidth=[10,57]", "constraints.max_latency_ms=100"))
