"""One line for whatever is wrong with a spec: what, what was given, what is allowed, the nearest name."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as limits
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from harness.spec.fields import Part, as_part, nearest

_LONGEST = 60  # characters of a given value that are repeated
_SIGNS = {limits.Gt: "above", limits.Ge: "at least", limits.Lt: "below", limits.Le: "at most"}


def explain(error: ValidationError, root: type[Part], values: Mapping[str, Any]) -> str:
    """The first trouble of `error` in one line."""
    found = error.errors(include_url=False)
    first = found[0]
    path, info, section = _locate(first["loc"], root)
    if first["type"] == "extra_forbidden":
        return unknown_key(".".join(map(str, first["loc"])), root)
    if first["type"] == "missing" and ".".join(map(str, first["loc"])) == path:
        return f"{path} is missing; set {path}=VALUE: {allowed(info) if info else 'a section, see conf/'}"
    if info is None and first["type"] == "value_error":  # its parts are right alone, but not together
        return f"{path}: {first['ctx']['error']}"
    if info is None:
        return f"{path}={_show(first['input'])} is not a section with keys {', '.join(section.model_fields)}"
    given = _lookup(values, path)
    if not isinstance(given, str):  # of a name or a list, a list was meant: the last alternative
        first = [other for other in found if _locate(other["loc"], root)[0] == path][-1]
    if first["type"] == "value_error":
        return f"{path}={_show(given)}: {first['ctx']['error']}"
    hint = nearest(given, _literals(info.annotation)) if isinstance(given, str) else ""
    return f"{path}={_show(given)} is not allowed: {_reason(first)}; allowed: {allowed(info)}{hint}"


def unknown_key(path: str, root: type[Part]) -> str:
    """The line for a key that no spec has."""
    if path.startswith("hydra."):
        return f"unknown key {path!r}; Hydra's own keys are shown by python run.py --cfg hydra"
    known = list(keys(root))
    if path in known:  # in another option of its group
        group, _, leaf = path.partition(".")
        return f"the chosen {group} has no {leaf!r}; allowed: {group}=OPTION with one that has it, see conf/{group}"
    return f"unknown key {path!r}; {_siblings(path, root)}{nearest(path, known) or _same_leaf(path, known)}"


def keys(root: type[Part], prefix: str = "") -> Iterator[str]:
    """Every dotted key of the schema, sections included."""
    for name, info in root.model_fields.items():
        yield f"{prefix}{name}"
        section = as_part(info.annotation)
        if section:
            yield from keys(section, f"{prefix}{name}.")


def allowed(info: FieldInfo) -> str:
    """What a field takes, with its unit, from its own definition."""
    names = _literals(info.annotation)
    described = f" ({info.description})" if info.description else ""
    if names and info.annotation is not None and get_origin(info.annotation) is Literal:
        return f"{', '.join(names)}{described}"
    kind = _kind(info.annotation)
    bounds = [
        f"{sign} {getattr(limit, type(limit).__name__.lower())}"
        for limit in info.metadata
        for known, sign in _SIGNS.items()
        if isinstance(limit, known)
    ]
    unit = info.json_schema_extra["unit"] if isinstance(info.json_schema_extra, dict) else ""
    return " ".join(filter(None, [kind, " and ".join(bounds), f"in {unit}" if unit else ""])) + described


def _kind(annotation: Any) -> str:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _kind(arguments[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in arguments)
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, arguments))
    if get_origin(annotation) is dict:
        return "a mapping"
    if get_origin(annotation) is tuple:
        return f"a list ({_kind(arguments[0])})"
    plain = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
    return plain.get(annotation, "null")


def _literals(annotation: Any) -> list[str]:
    """The names among which a field chooses, wherever they stand in its type."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [name for part in get_args(annotation) for name in _literals(part)]


def _locate(loc: tuple[int | str, ...], root: type[Part]) -> tuple[str, FieldInfo | None, type[Part]]:
    """The dotted path of the field that `loc` is in (list indices and union tags cut off)."""
    section = root
    path: list[str] = []
    info = None
    for step in loc:
        path.append(str(step))
        info = section.model_fields.get(str(step))
        deeper = as_part(info.annotation) if info else None
        if deeper is None:
            break
        section, info = deeper, None
    return ".".join(path), info, section


def _reason(error: Any) -> str:
    return {
        "greater_than": "out of range",
        "greater_than_equal": "out of range",
        "less_than": "out of range",
        "less_than_equal": "out of range",
        "finite_number": "not a finite number",
        "float_type": "not a number",
        "int_type": "not a whole number",
        "bool_type": "not true or false",
        "string_type": "not a text",
        "literal_error": "no such choice",
        "tuple_type": "not a list",
        "missing": "too few values",
        "too_short": "too few values",
        "too_long": "too many values",
    }.get(error["type"], str(error["msg"]).replace("Input should", "it should"))


def _siblings(path: str, root: type[Part]) -> str:
    section = root
    parents = path.split(".")[:-1]
    for name in parents:
        deeper = as_part(section.model_fields[name].annotation) if name in section.model_fields else None
        if deeper is None:
            return f"there is no section {'.'.join(parents)!r}"
        section = deeper
    return f"allowed here: {', '.join(section.model_fields)}"


def _same_leaf(path: str, known: list[str]) -> str:
    """For a key given without its section, or below another: the one that ends alike."""
    leaf = path.rsplit(".", 1)[-1]
    leaves = {name.rsplit(".", 1)[-1]: name for name in known}
    if leaf in leaves:
        return f"; did you mean {leaves[leaf]!r}?"
    from difflib import get_close_matches

    close = get_close_matches(leaf, list(leaves), n=1)
    return f"; did you mean {leaves[close[0]]!r}?" if close else ""


def _lookup(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def _show(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = f"[{','.join(map(_show, value))}]"
    else:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
