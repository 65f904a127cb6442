"""The building blocks of the schema: a frozen part, and fields that know their unit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import SpecError

#: Where this code lies: what processes import, and conf/. In a sweep a copy made when it was started.
CODE = Path(__file__).resolve().parents[2]
#: Names the checkout to a process that runs from a copy of its code.
PROJECT_VARIABLE = "HARNESS_PROJECT"
#: The checkout: relative folders of a spec are meant from here, wherever the command was typed.
PROJECT = Path(os.environ.get(PROJECT_VARIABLE) or CODE)


def from_project(text: str) -> Path:
    """A path of a spec: meant from the checkout where it is relative.

    Raises:
        SpecError: it begins with the home of a user that there is not.
    """
    try:
        return PROJECT / Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0]
        raise SpecError(f"{text}: there is no user {user[1:]!r} whose home {user} could be; give a path") from None


class Part(BaseModel):
    """One section of a spec: immutable, no unknown key, no conversion of types, no nan and no infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def as_part(annotation: Any) -> type[Part] | None:
    """The section that a field's annotation names, None for a plain value."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Part) else None


def field(description: str, unit: str | None = None, **limits: Any) -> Any:
    """A pydantic field. `unit` goes into the `units` block of `spec.yaml` and into error messages."""
    extra = {"unit": unit} if unit else None
    return Field(description=description, json_schema_extra=extra, **limits)  # type: ignore[arg-type]


#: The Keras index of the last device layer.
Cut = Annotated[int, Field(ge=0)]

#: Lists come from YAML and are kept as tuples, which strictness would refuse.
Cuts = Annotated[tuple[Cut, ...], Field(strict=False)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


def options(group: str) -> list[str]:
    """The names that a config group offers: the files of `conf/<group>`."""
    return sorted(path.stem for path in (CODE / "conf" / group).glob("*.yaml"))


def nearest(given: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the name that resembles `given` most, or nothing."""
    from difflib import get_close_matches  # only needed when something is wrong

    close = get_close_matches(given, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
