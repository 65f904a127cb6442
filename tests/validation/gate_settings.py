"""The tolerances of `conf/gate`, with changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.spec.sections import Gate

CONF = Path(__file__).resolve().parents[2] / "conf" / "gate"


def gate_settings(*, terms: dict[str, dict[str, Any]] | None = None, **changes: Any) -> Gate:
    """The default, with some keys changed; `terms` changes keys of the named ones."""
    values = yaml.safe_load((CONF / "default.yaml").read_text(encoding="utf-8")) | changes
    values["terms"] |= {name: values["terms"][name] | own for name, own in (terms or {}).items()}
    return Gate.model_validate(values)
