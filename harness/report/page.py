"""The parts that pages are made of: one file each, its style and script within, nothing fetched from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

_ASSETS = Path(__file__).parent / "assets"


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def page(title: str, parts: Iterable[str], *, script: bool = False) -> str:
    """A whole document. With `script` its tables sort and filter and its sliders work; it reads the same without."""
    own = f"<script>\n{_asset('page.js')}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # A browser would ask the folder of the file for one.
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n{own}</body>\n</html>\n"
    )


def table(
    header: Sequence[str],
    lines: Sequence[tuple[Mapping[str, str], Sequence[str]]],
    *,
    text_columns: int = 1,
    identity: str = "",
    caption: str = "",
    classes: Mapping[int, str] | None = None,
) -> str:
    """A table.

    Args:
        header: the headings.
        lines: (attributes of the row, cells already escaped); numbers from `text_columns` on.
        identity: an `id`; a table that has one can be sorted.
        caption: what it shows, escaped here.
        classes: of the cells of a column, by its number.
    """
    own = classes or {}

    def kind(index: int) -> str:
        names = [name for name in ("n" if index >= text_columns else "", own.get(index, "")) if name]
        return f' class="{" ".join(names)}"' if names else ""

    def heading(index: int, name: str) -> str:
        inner = f'<button type="button">{escape(name)}</button>' if identity and name else escape(name)
        return f'<th scope="col"{kind(index)}>{inner}</th>'

    def row(attributes: Mapping[str, str], cells: Sequence[str]) -> str:
        told = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if value)
        return f"<tr{told}>" + "".join(f"<td{kind(index)}>{cell}</td>" for index, cell in enumerate(cells)) + "</tr>"

    body = "\n".join(row(*line) for line in lines)
    head = "".join(heading(index, name) for index, name in enumerate(header))
    told = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    opened = f'<table id="{escape(identity)}" class="sortable">' if identity else "<table>"
    return (
        f'<div class="scroll">{opened}\n{told}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def search(identity: str) -> str:
    """A field that filters the table of that id."""
    own = escape(identity)
    return (
        f'<div class="controls needs-script"><div><label for="filter-{own}">Show rows with</label>'
        f'<input type="search" id="filter-{own}" data-filters="{own}" aria-describedby="count-{own}" '
        f'placeholder="maxpool, 51, …"></div><p id="count-{own}" role="status"></p></div>'
    )


def slider(identity: str, label: str, count: int, value: int) -> str:
    """A range over `count` steps that stands at `value`, and what it stands at in words."""
    own = escape(identity)
    return (
        f'<div><label for="slider-{own}">{escape(label)}: <output id="shown-{own}" for="slider-{own}"></output></label>'
        f'<input type="range" id="slider-{own}" min="0" max="{count - 1}" step="1" value="{value}"></div>'
    )


def data(identity: str, record: Mapping[str, Any]) -> str:
    """Numbers for the script. No text in it can end the element: `<` is spelt as JSON may spell it."""
    text = json.dumps(record, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(identity)}">{text}</script>'
