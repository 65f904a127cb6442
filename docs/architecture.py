"""Writes the second half of architecture.md anew: every module by the first sentences of its docstring.

python docs/architecture.py
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_suffix(".md")
PACKAGES = ("harness", "netem", "hydra_plugins", "experiments")
#: The first line of the page that is not written by hand.
MARK = "## Modules"


def page(text: str) -> str:
    """`text` of the page with its list of modules as the code has it now."""
    lines = [text.partition(MARK)[0] + MARK, ""]
    for folder in sorted({path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}):
        lines += _folder(folder)
    return "\n".join(lines)


def _folder(folder: Path) -> list[str]:
    own = folder / "__init__.py"
    title = f"### {folder.relative_to(ROOT)}/"
    lines = [title, "", *([_sentence(own), ""] if own.exists() else [])]
    modules = [path for path in sorted(folder.glob("*.py")) if path != own]
    return lines + [f"- `{path.name}`: {_sentence(path)}" for path in modules] + ([""] if modules else [])


def _sentence(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
