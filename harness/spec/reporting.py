"""What readers get: figures of a cell, and which runs `mode=report`, `repro` and `clean` are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from harness.spec.fields import Part, field, nearest, options

#: The root key that stands for `report.sources`.
FROM = "from"
#: In place of the names of figures.
ALL = "all"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Report(Part):
    """The figures, and the runs to gather (`conf/report`)."""

    formats: Annotated[tuple[Literal["svg", "png", "pdf"], ...], Field(strict=False)] = field(
        "file formats of the figures"
    )
    dpi: int = field("resolution of bitmaps", "dots per inch", ge=30, le=1200)
    figures: Annotated[
        Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None, BeforeValidator(_listed)
    ] = field(
        "figures by the name of their experiment, drawn from the cells of a sweep, or of from=FOLDER; all: each",
        default=None,
    )
    sources: Annotated[
        Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None, BeforeValidator(_listed)
    ] = field("with mode=report, repro and clean, folders of cells or of sweeps: from=FOLDER, from=[FOLDER,FOLDER]")

    @field_validator("figures")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        allowed = [*options("experiment"), ALL]
        for name in names or ():
            if name not in allowed:
                raise ValueError(f"no figure {name!r}; allowed: {', '.join(allowed)}{nearest(name, allowed)}")
        return names


def as_typed(message: str, values: Mapping[str, Any]) -> str:
    """A message about `report.sources` in the words of who gave `from`."""
    return message if values.get(FROM) is None else message.replace("report.sources", FROM, 1)


def expand_from(values: Mapping[str, Any]) -> dict[str, Any]:
    """`from` at the root moved to `report.sources`, unless that says something itself."""
    changed = {key: value for key, value in values.items() if key != FROM}
    given, report = values.get(FROM), values.get("report")
    if given is not None and isinstance(report, Mapping) and report.get("sources") is None:
        changed["report"] = {**report, "sources": given}
    return changed
