"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

BENCHMARKS = Path(__file__).parent / "benchmarks"

# A deadline is an absolute time: a busy host would fail what is right.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.hookimpl(tryfirst=True)  # before pytest itself selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what measures, or looks for what a run left on the host: `make test` runs these one by one, at the end."""
    for item in items:
        if item.get_closest_marker("link") or item.get_closest_marker("triton") or BENCHMARKS in item.path.parents:
            item.add_marker(pytest.mark.alone)
