"""The typed schema: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import ValidationError

from harness.errors import SpecError
from harness.spec import AVAILABLE_MODES, PROJECT, Spec, units
from harness.spec.fields import Part, as_part


def _default() -> dict[str, Any]:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config"), resolve=True)
    assert isinstance(composed, dict)
    return composed


DEFAULT = _default()


def leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        path
        for name, value in tree.items()
        for path in (leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"])
    ]


def required(path: str) -> bool:
    """Whether the schema itself asks for a key; it does not for one that only some options of its group have, or that
    stands for another."""
    *parents, leaf = path.split(".")
    section: type[Part] = Spec
    for name in parents:
        section = as_part(section.model_fields[name].annotation) or section
    return leaf in section.model_fields and section.model_fields[leaf].is_required()


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(DEFAULT)
    *parents, leaf = path.split(".")
    section = config
    for name in parents:
        section = section[name]
    section[leaf] = value
    return config


def refusal(path: str, value: Any) -> str:
    with pytest.raises(SpecError) as caught:
        Spec.from_config(changed(path, value))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_default_is_the_main_job_of_the_design() -> None:
    spec = Spec.from_config(DEFAULT)
    assert (spec.mode, spec.model.name, spec.hardware.name) == ("validate", "densenet169", "iiot")
    assert (spec.rate_up_mbps, spec.rate_down_mbps, spec.rtt_ms) == (57, 1000, 28)
    assert spec.hardware.emulated
    assert spec.hardware.device.slowdown == 10
    assert spec.measure.transfer_layers == ("maxpool",)
    assert spec.profile_dir == PROJECT / "outputs" / "profiles"


def test_a_spec_cannot_be_changed() -> None:
    spec = Spec.from_config(DEFAULT)
    with pytest.raises(ValidationError):
        spec.bandwidth = 1.0  # type: ignore[misc]


@given(st.floats(min_value=0, max_value=10_000, exclude_min=True))
def test_a_bandwidth_in_range_is_taken(value: float) -> None:
    assert Spec.from_config(changed("bandwidth", value)).rate_up_mbps == value


@given(st.floats().filter(lambda value: not 0 < value <= 10_000))
def test_any_other_bandwidth_is_refused_with_its_range_and_unit(value: float) -> None:
    message = refusal("bandwidth", value)
    assert message.startswith("bandwidth=")
    assert "above 0" in message
    assert "Mbit/s" in message


@given(st.floats())
def test_a_latency_is_finite_and_not_negative(value: float) -> None:
    if math.isfinite(value) and 0 <= value <= 10_000:
        assert Spec.from_config(changed("latency", value)).rtt_ms == value
    else:
        assert "ms" in refusal("latency", value)


@given(st.integers())
def test_samples_are_at_least_one(value: int) -> None:
    if 1 <= value <= 100_000:
        assert Spec.from_config(changed("measure.samples", value)).measure.samples == value
    else:
        assert "at least 1" in refusal("measure.samples", value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
SECTIONS = [name for name, value in DEFAULT.items() if isinstance(value, dict)]
#: Keys that a rule joins with others: whose name its line begins with.
JOINED = {
    "hardware.device.cpu": "hardware.edge:",
    "hardware.edge.cpu": "hardware.edge:",
    "model.architecture": "model:",
}


@settings(max_examples=300)
@given(st.sampled_from(leaves(DEFAULT) + SECTIONS), ANYTHING)
@example("hardware.edge.cpu", 0)
@example("hardware.device.cpu", 1)
@example("model.architecture", None)
def test_whatever_stands_at_a_key_gives_a_spec_or_one_line(path: str, value: Any) -> None:
    message = ""
    try:
        spec = Spec.from_config(changed(path, value))
    except SpecError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        assert message.startswith((path, "unknown key", JOINED.get(path, path)))
    else:
        assert Spec.from_yaml(spec.to_yaml()) == spec


@given(st.text(min_size=1, max_size=12).filter(lambda name: name not in {*DEFAULT, "hydra"}))
def test_an_unknown_root_key_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="unknown key"):
        Spec.from_config({**DEFAULT, name: 1})


@given(st.sampled_from([path for path in leaves(DEFAULT) if required(path)]))
def test_a_missing_key_is_refused(path: str) -> None:
    config = copy.deepcopy(DEFAULT)
    *parents, leaf = path.split(".")
    section = config
    for name in parents:
        section = section[name]
    del section[leaf]
    with pytest.raises(SpecError, match=f"^{path} is missing"):
        Spec.from_config(config)


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("latency", "abc", ["latency=abc", "not a number", "in ms"]),
        ("split", True, ["split=true", "whole number"]),
        ("seed", 1.5, ["seed=1.5", "whole number", "4294967296"]),
        ("mode", "reproduce", ["no such mode", *AVAILABLE_MODES, "did you mean 'repro'?"]),
        ("mode", "vaildate", ["no such mode", "did you mean 'validate'?"]),
        ("link.tcp.congestion_control", "cubik", ["cubic, reno", "did you mean 'cubic'?"]),
        ("measure.splits", [1, -2], ["[1,-2]", "out of range"]),
        ("measure.splits", "al", ["spread, all, scission", "did you mean 'all'?"]),
        ("measure.transfer_layers", ["maxpol"], ["did you mean 'maxpool'?"]),
        ("hardware.device.slowdown", 0.5, ["hardware.device.slowdown=0.5", "at least 1"]),
        ("hardware.device", 3, ["cpu, threads, processor, gpu, slowdown"]),
        ("gate.max_mape", math.inf, ["not a finite number"]),
        ("gate.max_mape", 0.0, ["gate.max_mape=0.0", "out of range", "above 0"]),
        ("gate.max_bias", -0.01, ["gate.max_bias=-0.01", "out of range", "above 0"]),
        ("gate.terms.queue.absolute_ms", 0.0, ["gate.terms.queue.absolute_ms=0.0", "share of 0", "set one of both"]),
        ("gate.terms.edge.share", -1.0, ["gate.terms.edge.share=-1.0", "out of range"]),
        ("measure.sample", 3, ["unknown key 'measure.sample'", "did you mean 'measure.samples'?"]),
        ("samples", 3, ["unknown key 'samples'", "did you mean 'measure.samples'?"]),
        ("model.input_shape", [224, 224], ["model.input_shape=[224,224]", "too few values"]),
    ],
)
def test_a_refusal_says_what_was_given_and_what_is_allowed(path: str, value: Any, parts: list[str]) -> None:
    message = refusal(path, value)
    assert [part for part in parts if part not in message] == []


def test_spec_yaml_names_its_units_and_can_be_read_back() -> None:
    spec = Spec.from_config(DEFAULT)
    record = yaml.safe_load(spec.to_yaml())
    assert record["schema_version"] == 1
    assert record["units"]["bandwidth"] == "Mbit/s"
    assert record["units"]["latency"] == "ms"
    assert set(units()) <= set(leaves(record))
    assert Spec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize("text", ["", "- 1", "[", "bandwidth: 3"])
def test_what_is_not_a_spec_yaml_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        Spec.from_yaml(text)


@pytest.mark.parametrize(
    "file", sorted((PROJECT / "conf").glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_every_option_of_every_group_fits_the_schema(file: Path) -> None:
    asked = ["model.file=my.keras", "model.input_shape=[97,131,3]"] if file.stem == "own" else []
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        spec = Spec.from_config(compose("config", [f"{file.parent.name}={file.stem}", *asked]))
    # An experiment is a choice among the other groups, and no part of a spec itself.
    assert file.parent.name in (*spec.model_dump(), "experiment")


def test_the_tiers_do_not_share_a_core() -> None:
    assert "share core 0" in refusal("hardware.edge.cpu", 0)


def test_the_home_of_nobody_is_one_line() -> None:
    for key in ("profile.dir", "deploy.trained"):
        spec = Spec.from_config(changed(key, "~no_such_user/there"))
        with pytest.raises(SpecError, match="there is no user 'no_such_user'") as caught:
            _ = spec.profile_dir, spec.inputs
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("whatif.bandwidth", [10**400]), ("constraints.objective", {"latency": 10**400})]
)
def test_a_number_that_no_float_holds_is_one_line(key: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.from_config(changed(key, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("own", [{"name": "my-layer"}, {"name": "mine", "parameters": {"way": "two words"}}])
def test_a_layer_whose_name_cannot_stand_in_a_label_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="cannot stand in a label"):
        Spec.from_config(changed("transfer_layer", {"source": "docs/examples/subsample.py", **own}))
