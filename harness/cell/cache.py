"""Where profiles are kept: by content, so that one is found exactly where it is still true (no TensorFlow)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cell import encodings, forcing
from harness.cell.forcing import Record
from harness.cell.journal import Journal
from harness.dnn import zoo
from harness.errors import SpecError
from harness.prediction.portable import export_profiles, import_profiles
from harness.prediction.profile import PROFILE_VERSION, Calibration, Profiles, TierProfile
from harness.prediction.profile_io import load_calibration, load_tier, save
from harness.spec import Spec
from harness.spec.fields import from_project
from harness.spec.hardware import Tier
from harness.testbed import boards, gpu, host


def model_spec(spec: Spec) -> zoo.ModelSpec:
    """The model of a cell as the zoo takes it."""
    return zoo.from_config({**spec.model.model_dump(), **spec.model.located, "seed": spec.seed})


def tier_fingerprint(spec: Spec, tier: str) -> dict[str, Any]:
    """What a tier's times depend on; the link and the pace of an emulated board are not among it."""
    threads = spec.hardware.device.threads if tier == "device" else spec.hardware.edge.threads
    external = tier == "edge" and spec.hardware.edge.url is not None
    board = boards.known(spec) if tier == "device" and spec.hardware.kind == "remote" else None
    # What writing a message costs, and for JSON what a payload weighs, belongs to the device.
    own = {"communicator": spec.communicator.name} if tier == "device" else {}
    hardware = spec.hardware.device if tier == "device" else spec.hardware.edge
    here = host.identity() if board is None else board["identity"]
    return own | {
        "processor": _processor(hardware, tier, elsewhere=external or board is not None),
        "model": spec.model.name,
        "content": zoo.content_key(model_spec(spec)),
        "tier": tier,
        "host": f"external edge at {spec.hardware.edge.url}" if external else here,
        "threads": threads,
        "execution": spec.profile.execution,
        "rounds": [spec.profile.warmup, spec.profile.rounds, spec.profile.eager_rounds],
        "transfer_layers": sorted(map(str, encodings.ranked(spec))),
        "versions": {
            package: host.version(package) if board is None else board["versions"].get(package, "")
            for package in ("tensorflow", "keras", "numpy")
        },
        "profile_version": PROFILE_VERSION,
        **encodings.own_code(spec),
    }


def _processor(hardware: Tier, tier: str, *, elsewhere: bool) -> dict[str, str]:
    """What computes on a tier: of a GPU its kind, driver and clocks. Raises SpecError for one that is not there."""
    if hardware.processor == "cpu" or elsewhere:
        return {"kind": hardware.processor}
    return {"kind": "gpu", **gpu.find(hardware.gpu, f"hardware.{tier}.processor").identity()}


def calibration_fingerprint(spec: Spec) -> dict[str, Any]:
    """What anchors and echoes depend on: both tiers, their pace and cores, and the server between."""
    return {
        "device": tier_fingerprint(spec, "device"),
        "edge": tier_fingerprint(spec, "edge"),
        "slowdown": spec.hardware.device.slowdown,
        "cpus": [spec.hardware.device.cpu, spec.hardware.edge.cpu],
        "transfer_layer": str(encodings.own(spec)),
        "anchors": spec.profile.anchors,
        "landmarks": sorted(spec.model.landmarks),
        "communicator": spec.communicator.name,
        "versions": {package: host.version(package) for package in ("grpcio", "nvidia-pytriton")},
    }


class ProfileCache:
    """The profiles of one cell: in `profile.dir`, or with `profile.file` those of an exported file.

    Raises:
        SpecError: `profile.file` in a mode that measures its own profile, or `profile.export` is a folder.
    """

    def __init__(self, spec: Spec) -> None:
        _check_files(spec)
        self._spec = spec
        self.fingerprints = {tier: tier_fingerprint(spec, tier) for tier in ("device", "edge")}
        self.calibration_fingerprint = calibration_fingerprint(spec)
        name = f"{spec.model.name}-{spec.profile.execution}"
        folder = spec.profile_dir
        self.paths = {
            tier: folder / f"{name}-{tier}-{_digest(fingerprint)}.json"
            for tier, fingerprint in self.fingerprints.items()
        }
        self.calibration_path = folder / f"{name}-calibration-{_digest(self.calibration_fingerprint)}.json"
        #: With `profile.force`: what was used though it was made on something else, by what it holds.
        self.forced: dict[str, dict[str, Any]] = {}

    def kept(self) -> dict[str, TierProfile]:
        """The profiles that are there, by tier, each whatever its partner. Raises SpecError for a broken one."""
        found = {}
        for tier, path in self.paths.items():
            profile = self._read(tier, path, self.fingerprints[tier], load_tier)
            if profile is not None:
                found[tier] = profile
        return found

    def thorough(self) -> dict[str, TierProfile]:
        """Those of `kept` that were made with at least the rounds that this cell asks for: what a cell that measures
        need not profile again. Raises SpecError for a broken one."""
        asked = [self._spec.profile.rounds, self._spec.profile.eager_rounds]
        found = {}
        for tier, profile in self.kept().items():
            if all(made >= own for made, own in zip(_rounds(profile), asked, strict=True)):
                found[tier] = profile
            else:
                self.forced.pop(tier, None)  # it is not used: one is made anew
        return found

    def _read(self, what: str, path: Path, expected: dict[str, Any], load: Callable[[Path], Record]) -> Record | None:
        """A record of the folder; with `profile.force` the nearest one where there is none that fits."""
        if path.exists():
            record = load(path)
            differing = forcing.differences(record.fingerprint, expected)
            if differing and not self._spec.profile.force:
                _refuse(path, differing)
        else:
            near = self._nearest(what, expected, load) if self._spec.profile.force else None
            if near is None:
                return None
            path, record, differing = near
        if differing:
            self.forced[what] = {"file": path.name, "differs": differing}
        return record

    def _nearest(
        self, what: str, expected: dict[str, Any], load: Callable[[Path], Record]
    ) -> tuple[Path, Record, dict[str, list[Any]]] | None:
        pattern = f"{self._spec.model.name}-{self._spec.profile.execution}-{what}-*.json"
        return forcing.nearest(self._spec.profile_dir, pattern, expected, load)

    def tiers(self) -> tuple[TierProfile, TierProfile] | None:
        """The profiles of both tiers, or None where one is missing. Raises SpecError for a broken one."""
        if self._spec.profile.file is not None:
            profiles = self.profiles()
            return (profiles.device, profiles.edge) if profiles is not None else None
        found = self.kept()
        return (found["device"], found["edge"]) if len(found) == len(self.paths) else None

    def calibration(self) -> Calibration | None:
        """The pair's calibration, or None where it is missing. Raises SpecError for a broken one."""
        return self._read("calibration", self.calibration_path, self.calibration_fingerprint, load_calibration)

    def journal(self, tier: str, *, anew: bool) -> Journal:
        """The finished rounds of a tier's profile in the making; none with `anew`."""
        journal = Journal(self.paths[tier], self.fingerprints[tier])
        if anew:
            journal.remove()
        return journal

    def profiles(self) -> Profiles | None:
        """Everything a forecast needs, or None where something is missing. Raises SpecError for a broken one."""
        if self._spec.profile.file is not None:
            return self._imported(from_project(self._spec.profile.file))
        tiers, calibration = self.tiers(), self.calibration()
        return Profiles(*tiers, calibration, forced=dict(self.forced)) if tiers and calibration else None

    def _imported(self, path: Path) -> Profiles:
        content = self.fingerprints["device"]["content"]
        profiles = import_profiles(
            path,
            model=self._spec.model.name,
            content=None if self._spec.profile.force else content,
            encodings=tuple(map(str, encodings.ranked(self._spec))),
        )
        made = profiles.device.fingerprint.get("content")
        if made == content:
            return profiles
        return replace(profiles, forced={"file": {"file": path.name, "differs": {"content": [made, content]}}})

    def require(self) -> Profiles:
        """The same. Raises SpecError, saying how to get one, where something is missing."""
        profiles = self.profiles()
        if profiles is None:
            spec = self._spec
            raise SpecError(
                f"mode=predict needs a profile of {spec.model.name} on hardware={spec.hardware.name}, and "
                f"{_shown(spec.profile_dir)} has none for this host, these versions and settings"
                f"{self._what_differs()}; make one with: "
                f"python run.py mode=profile model={spec.model.name} hardware={spec.hardware.name}"
            )
        return profiles

    def _what_differs(self) -> str:
        """What the nearest profile was made on, where the folder has one."""
        for tier, path in self.paths.items():
            near = None if path.exists() else self._nearest(tier, self.fingerprints[tier], load_tier)
            if near is not None:
                return (
                    f" (the nearest, {near[0].name}, was made on {forcing.told(near[2])}; "
                    "profile.force=true uses it all the same)"
                )
        return ""

    def files(self) -> dict[str, str]:
        """Names and SHA-256 of the files in use."""
        paths = {**self.paths, "calibration": self.calibration_path}
        return {
            name: f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
            for name, path in paths.items()
            if path.exists()
        }

    def export(self, profiles: Profiles) -> None:
        """Write the profiles in use to `profile.export`, where the spec names one."""
        if self._spec.profile.export is not None:
            export_profiles(from_project(self._spec.profile.export), profiles)

    def keep(self, *records: TierProfile | Calibration) -> None:
        """Write profiles, each whole or not at all."""
        for record in records:
            save(self.paths[record.tier] if isinstance(record, TierProfile) else self.calibration_path, record)


def _check_files(spec: Spec) -> None:
    if spec.profile.file is not None and spec.mode != "predict":
        raise SpecError(
            f"profile.file={spec.profile.file}: mode={spec.mode} measures profiles of its own; allowed: mode=predict"
        )
    if spec.profile.export is not None and from_project(spec.profile.export).is_dir():
        raise SpecError(f"profile.export={spec.profile.export} is a folder; allowed: the name of a file")


def _refuse(path: Path, differing: dict[str, list[Any]]) -> None:
    """Raise SpecError: a file says that it is valid for something else than its name says."""
    key, (made, wanted) = next(iter(differing.items()))
    raise SpecError(
        f"the profile {path.name} cannot be used: it belongs to {key} {made!r}, not {wanted!r}; "
        "delete it, run mode=profile profile.refresh=true, or use it all the same with profile.force=true"
    )


def _digest(fingerprint: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_content(fingerprint), sort_keys=True).encode()).hexdigest()[:16]


def _rounds(profile: TierProfile) -> list[int]:
    """Timed rounds of a profile, and those in eager mode."""
    return list(profile.fingerprint.get(forcing.METHOD, [0, 0, 0])[1:])


def _content(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """A fingerprint without the method: a profile with other rounds is one of the same."""
    return {
        key: _content(value) if isinstance(value, dict) else value
        for key, value in fingerprint.items()
        if key != forcing.METHOD
    }


def _shown(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
