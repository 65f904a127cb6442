"""Predictors by name (`conf/predictor`). Adding one is a class in this package and a YAML file there."""

from __future__ import annotations

import importlib
import pkgutil

from harness.prediction.predictors.base import REGISTRY, Evidence, Model, Prediction, Predictor, Table

__all__ = ["Evidence", "Model", "Prediction", "Predictor", "Table", "fit", "get", "names"]

for _module in pkgutil.iter_modules(__path__):  # each registers its classes
    importlib.import_module(f"{__name__}.{_module.name}")


def get(name: str) -> Predictor:
    """A predictor. Raises SpecError for an unknown name."""
    return REGISTRY.create(name)


def names() -> tuple[str, ...]:
    """All predictors."""
    return REGISTRY.names()


def fit(name: str, evidence: Evidence) -> Model:
    """A predictor by name, fitted. Raises SpecError for an unknown name or evidence that is not enough for it."""
    return get(name).fit(evidence)
