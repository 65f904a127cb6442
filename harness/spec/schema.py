"""What an experiment is: the typed schema of a fully resolved spec, its ranges and its units.

The keys are those of the command line (`bandwidth`, `hardware.device.slowdown`, ...), so that a value can be
copied from a `spec.yaml` to a command line and back. The default values live in `conf/`, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import ValidationError, field_validator

from harness.errors import SpecError
from harness.results.schema import SCHEMA_VERSION
from harness.spec.axes import WhatIf, expand_shorthands
from harness.spec.constraints import Constraints, Rank
from harness.spec.deployment import Deploy
from harness.spec.fields import Cut, Part, as_part, field, from_project, nearest
from harness.spec.hardware import Hardware
from harness.spec.model import Model
from harness.spec.reporting import Report, as_typed, expand_from
from harness.spec.revealing import Leakage
from harness.spec.sections import (
    Communicator,
    Gate,
    Link,
    Measure,
    Predictor,
    Profile,
)
from harness.spec.training import Dataset, Train
from harness.spec.transfer import TransferLayer, WireFormat

Mode = Literal[
    "validate",
    "plan",
    "doctor",
    "profile",
    "predict",
    "measure",
    "train",
    "deploy",
    "report",
    "repro",
    "clean",
]
AVAILABLE_MODES: tuple[Mode, ...] = get_args(Mode)


class Spec(Part):
    """One cell: a fully resolved, checked, immutable experiment."""

    mode: Mode = field("what to do")
    bandwidth: float = field("uplink rate", "Mbit/s", gt=0, le=10_000)
    latency: float = field("round-trip time, half each way", "ms", ge=0, le=10_000)
    split: Cut | None = field("cut for train and deploy; null: the predicted best")
    seed: int = field("seed of weights and of the order of requests", ge=0, lt=2**32)
    model: Model
    hardware: Hardware
    link: Link
    transfer_layer: TransferLayer
    wire_format: WireFormat
    communicator: Communicator
    predictor: Predictor
    profile: Profile
    measure: Measure
    dataset: Dataset
    constraints: Constraints
    rank: Rank
    whatif: WhatIf
    train: Train
    deploy: Deploy
    leakage: Leakage
    gate: Gate
    report: Report

    @field_validator("mode", mode="before")
    @classmethod
    def _built(cls, mode: object) -> object:
        if mode not in AVAILABLE_MODES:
            raise ValueError(
                f"no such mode; allowed: {', '.join(AVAILABLE_MODES)}{nearest(str(mode), AVAILABLE_MODES)}"
            )
        return mode

    @property
    def rate_up_mbps(self) -> float:
        """Rate from device to edge, Mbit/s."""
        return self.bandwidth

    @property
    def rate_down_mbps(self) -> float:
        """Rate from edge to device, Mbit/s."""
        return self.link.downlink

    @property
    def rtt_ms(self) -> float:
        """Round-trip time of the link, ms."""
        return self.latency

    @property
    def own_files(self) -> list[Path]:
        """Files and folders of the user's that both tiers have to see."""
        found = [
            Path(path)
            for path in (self.model.located.get("file"), self.model.located.get("weights"))
            if path is not None
        ]
        factory = self.model.located.get("factory")
        sources = [factory.rpartition(":")[0] if factory else None, self.transfer_layer.located]
        return [path.resolve() for path in found] + [
            Path(each).parent for each in sources if each and each.endswith(".py")
        ]

    @property
    def inputs(self) -> dict[str, Path]:
        """By key, files and folders that earlier cells may have made, and that this one reads."""
        given = {
            "deploy.trained": self.deploy.trained,
            "hardware.edge.deployment": self.hardware.edge.deployment,
            "link.trace": self.link.trace,
        }
        return {key: from_project(text) for key, text in given.items() if text is not None}

    @property
    def profile_dir(self) -> Path:
        """Folder of the cached profiles."""
        return from_project(self.profile.dir)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Spec:
        """The spec that a composed Hydra config (or a plain mapping) describes.

        Raises:
            SpecError: one line, for the first thing that is wrong.
        """
        from harness.spec.messages import explain

        given = _plain(config)
        values = expand_shorthands(expand_from(given))
        try:
            return cls.model_validate(values, context={"own_layers": _own_layers(values)})
        except ValidationError as error:
            raise SpecError(as_typed(explain(error, cls, values), given)) from None

    @classmethod
    def from_yaml(cls, text: str) -> Spec:
        """The inverse of `to_yaml`. Raises SpecError for anything that is not a spec."""
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SpecError(f"this is not a spec.yaml: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise SpecError(f"this is not a spec.yaml: expected a mapping, got {type(values).__name__}")
        return cls.from_config({key: values[key] for key in values if key not in ("schema_version", "units")})

    def to_yaml(self) -> str:
        """The text of `spec.yaml`: `schema_version`, every key resolved, and a `units` block."""
        record = {"schema_version": SCHEMA_VERSION, **self.model_dump(mode="json"), "units": units()}
        return str(yaml.dump(record, Dumper=_Dumper, sort_keys=False, default_flow_style=False))


def _own_layers(values: Mapping[str, Any]) -> list[str]:
    """The name of a transfer layer of the user's own, which `measure` may name too."""
    layer = values.get("transfer_layer")
    return [str(layer.get("name"))] if isinstance(layer, Mapping) and layer.get("source") is not None else []


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """PyYAML's safe dumper, libyaml's where it is built in (ten times faster); lists on one line."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def units(part: type[Part] = Spec, prefix: str = "") -> dict[str, str]:
    """The unit of every dimensional key, by its dotted path."""
    found: dict[str, str] = {}
    for name, info in part.model_fields.items():
        section = as_part(info.annotation)
        if section:
            found |= units(section, f"{prefix}{name}.")
        elif isinstance(info.json_schema_extra, dict):
            found[f"{prefix}{name}"] = str(info.json_schema_extra["unit"])
    return found


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without Hydra's own node, interpolations resolved. Raises SpecError where one cannot be."""
    if isinstance(config, dict):
        return {key: value for key, value in config.items() if key != "hydra"}
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    kept: dict[str, Any] = {}
    for key in (str(name) for name in config if name != "hydra"):
        try:
            value = config[key]
            kept[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            raise SpecError(f"{key} cannot be resolved: {str(error).splitlines()[0]}") from None
    return kept
