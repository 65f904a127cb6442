"""Where what a network's cuts reveal is kept, and what constraints need of it (pure)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.cell import encodings
from harness.prediction import leakage
from harness.prediction.profile import ModelFeatures, TierProfile
from harness.spec import Spec
from harness.transfer import layers

_PICTURES = "crops of scikit-learn's china.jpg and flower.jpg"


def fingerprint(spec: Spec, content: str) -> dict[str, Any]:
    """What the numbers depend on; neither the host nor the decoders' budget is among it.

    Args:
        content: the zoo's content key of the model.
    """
    ranked = transfer_layers(spec)
    learned = any(layers.get(label).learned for label in ranked)
    return {
        "model": spec.model.name,
        "content": content,
        "pictures": [_PICTURES, spec.leakage.pictures],
        "transfer_layers": ranked,
        "leakage_version": leakage.LEAKAGE_VERSION,
        **encodings.own_code(spec),
        **({"seed": spec.seed} if learned else {}),  # which the weights of their halves are drawn from
    }


def transfer_layers(spec: Spec) -> list[str]:
    """Labels of the transfer layers that the cell ranks."""
    return sorted({encoding.transfer_layer for encoding in encodings.ranked(spec)})


def path(spec: Spec, content: str) -> Path:
    """The record's file in the profile folder."""
    digest = hashlib.sha256(json.dumps(fingerprint(spec, content), sort_keys=True).encode()).hexdigest()
    return spec.profile_dir / f"{spec.model.name}-leakage-{digest[:16]}.json"


def by_candidate(spec: Spec, model: TierProfile | ModelFeatures) -> dict[tuple[int, str], float] | None:
    """By cut and transfer layer, what the payload's tensor reveals; None where nobody asks, or nobody measured it.

    Raises:
        SpecError: the record is broken.
    """
    if spec.constraints.max_leakage is None:
        return None
    content = str(model.fingerprint.get("content")) if isinstance(model, TierProfile) else model.content
    record = leakage.load(path(spec, content), fingerprint(spec, content))
    return record.by_candidate() if record is not None else None
