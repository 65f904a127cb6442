"""Errors of `netem` as errors of the harness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from harness.errors import CapabilityError, LinkError
from netem import errors as netem_errors

T = TypeVar("T")


def translated(action: Callable[[], T]) -> T:
    """What it gives. Raises CapabilityError and LinkError where it raises those of netem."""
    with netem_translated():
        return action()


@contextmanager
def netem_translated() -> Iterator[None]:
    """The same for what is done inside."""
    try:
        yield
    except netem_errors.CapabilityError as error:
        raise CapabilityError(str(error)) from error
    except netem_errors.NetemError as error:
        raise LinkError(str(error)) from error
