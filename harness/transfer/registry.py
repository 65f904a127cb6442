"""Named things of one kind: a class and a YAML file each."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Generic, TypeVar

from harness.errors import SpecError

Thing = TypeVar("Thing")


class Registry(Generic[Thing]):
    """Classes by name.

    Args:
        kind: what they are, as the config group is called, e.g. `wire_format`.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._place = f"conf/{kind.partition('.')[0]}"
        self._classes: dict[str, type[Thing]] = {}

    def register(self, name: str, cls: type[Thing]) -> None:
        """Add a class. Raises ValueError where the name is taken."""
        if name in self._classes:
            raise ValueError(f"{self._kind} {name!r} is registered twice; give each class a name of its own")
        self._classes[name] = cls

    def names(self) -> tuple[str, ...]:
        """All registered names, in the order of registration."""
        return tuple(self._classes)

    def create(self, name: str, **parameters: Any) -> Thing:
        """An instance. Raises SpecError for an unknown name or an unknown parameter."""
        if name not in self._classes:
            raise SpecError(
                f"{self._kind}: got {name!r}; allowed: {', '.join(self._classes)}{_nearest(name, self._classes)}"
            )
        cls = self._classes[name]
        known = [own.name for own in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else list(parameters)
        for given in parameters:
            if given not in known:
                allowed = ", ".join(own for own in known if own != "seed") or "none"
                raise SpecError(
                    f"{self._kind} {name}: no parameter {given!r}; allowed: {allowed}{_nearest(given, known)}; "
                    f"see {self._place}"
                )
        try:
            return cls(**parameters)
        except TypeError as error:
            raise SpecError(f"{self._kind} {name}: {error}; see {self._place}") from error


def _nearest(given: str, allowed: Any) -> str:
    close = difflib.get_close_matches(given, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
