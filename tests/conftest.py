"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A deadline is an absolute time: a busy host would fail what is right.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
