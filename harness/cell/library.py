"""What the profile folder knows beyond one cell's own profiles: other models, and what a model is (no TensorFlow)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.cell.cache import model_spec, tier_fingerprint
from harness.dnn import zoo
from harness.dnn.features import LayerFeatures
from harness.errors import HarnessError, SpecError
from harness.prediction.profile import CutRecord, ModelFeatures, TierProfile
from harness.prediction.profile_io import load_features, load_tier, save
from harness.prediction.selection import PLAIN
from harness.spec import CODE, Spec

#: What a profile must share with a cell for its times to say something about the cell's tier.
_SAME = ("tier", "host", "processor", "threads", "execution", "communicator", "versions", "profile_version")
#: Building the largest model of the zoo takes half a minute on a slow core, TensorFlow's import as long.
_TIMEOUT_S = 300.0


def other_models(spec: Spec, tier: str) -> list[TierProfile]:
    """Profiles of other models on this tier as the cell has it, the newest of each; files of no use are passed over."""
    own = tier_fingerprint(spec, tier)
    found: dict[str, TierProfile] = {}
    for path in sorted(spec.profile_dir.glob(f"*-{tier}-*.json"), key=lambda path: path.stat().st_mtime):
        try:
            profile = load_tier(path)
        except SpecError:
            continue  # another version, or broken: whoever needs that very file is told
        fingerprint = profile.fingerprint
        if fingerprint.get("model") != own["model"] and all(fingerprint.get(key) == own.get(key) for key in _SAME):
            found[str(fingerprint["model"])] = profile
    return list(found.values())


def features_path(spec: Spec) -> Path:
    """Where the features of the cell's model are kept."""
    return spec.profile_dir / f"{spec.model.name}-features-{zoo.content_key(model_spec(spec))}.json"


def model_features(spec: Spec) -> ModelFeatures:
    """What the cell's model is: from the folder, else from its graph, built once in a process of its own.

    Raises:
        SpecError: the file is broken, or the model cannot be built.
        HarnessError: the process that builds it failed.
    """
    path = features_path(spec)
    if path.exists():
        return load_features(path)
    features = read_features(spec, _described(model_spec(spec)))
    save(path, features)
    return features


def largest_payload_bytes(spec: Spec) -> int | None:
    """The largest tensor at any cut of the cell's model, as float32; None where the folder does not know the model.

    Raises:
        SpecError: the file is broken.
    """
    path = features_path(spec)
    if not path.exists():
        return None
    sizes = [PLAIN.payload_bytes(cut.shape) for cut in load_features(path).cuts]
    return max((size for size in sizes if size is not None), default=None)


def keep_features(spec: Spec, loaded: Mapping[str, Any]) -> None:
    """Keep what an agent's `load` said of the cell's model, unless the folder has it."""
    path = features_path(spec)
    if not path.exists():
        save(path, read_features(spec, loaded))


def read_features(spec: Spec, described: Mapping[str, Any]) -> ModelFeatures:
    """The record of what `describe` or an agent's `load` says of the cell's model."""
    return ModelFeatures(
        model=spec.model.name,
        content=zoo.content_key(model_spec(spec)),
        cuts=tuple(CutRecord(**{**cut, "shape": tuple(cut["shape"])}) for cut in described["cuts"]),
        last=described["last"],
        input_shape=tuple(described["input_shape"]),
        picture_bytes=described["pictures"],
        head_peak_bytes=tuple(described["features"]["head_peak_bytes"]),
        block_features=tuple(
            {kind: LayerFeatures(**counts) for kind, counts in block.items()}
            for block in described["features"]["blocks"]
        ),
    )


def _described(model: zoo.ModelSpec) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.profiling.describe"],
            input=json.dumps(asdict(model)),
            cwd=CODE,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"building the graph of {model.name} took longer than {_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        kind, _, why = lines[-1].partition(": ")
        error_type = SpecError if kind.endswith("SpecError") else HarnessError
        raise error_type(why if error_type is SpecError else f"the graph of {model.name} cannot be built: {lines[-1]}")
    described: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return described
