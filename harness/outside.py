"""Python code of the user's, from outside this tree: a file (`my_net.py`) or an installed module (`package.nets`)."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from harness.errors import SpecError


def locate(source: str, root: Path) -> str:
    """The source as every process finds it: a file absolute, meant from `root` where it is relative; else as it is."""
    return str((root / Path(source).expanduser()).resolve()) if source.endswith(".py") else source


def file_of(source: str, key: str) -> Path:
    """The file that holds it, without running it.

    Args:
        source: as `locate` gives it.
        key: of the spec, for the message.

    Raises:
        SpecError: there is none.
    """
    if source.endswith(".py"):
        path = Path(source)
        if path.is_file():
            return path
        raise SpecError(f"{key}: no file at {source!r}; allowed: a Python file, or the name of an installed module")
    found = _found(source)
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise SpecError(
            f"{key}: no module {source!r} that this Python ({sys.executable}) can import; allowed: an installed "
            "module, or a file that ends in .py"
        )
    return Path(found.origin)


def _found(name: str) -> ModuleSpec | None:
    """Where a module is. `importlib.util.find_spec` of a dotted name would import the packages that it lies in."""
    parts = name.split(".")
    if not all(parts):
        return None
    try:
        found = importlib.util.find_spec(parts[0])
        folders = list(found.submodule_search_locations or ()) if found else []
        for part in parts[1:]:
            found = PathFinder.find_spec(part, folders) if folders else None
            if found is None:
                return None
            # Of a folder without __init__.py the locations cannot be asked for: that would take its parent imported.
            inner = [str(Path(folder, part)) for folder in folders]
            folders = inner if found.loader is None or found.submodule_search_locations is not None else []
    except (ImportError, ValueError, AttributeError):
        return None
    return found


def digest(source: str, key: str) -> str:
    """SHA-256 of the user's code: of the file, and of what it imports in turn from beside it, or from its own package.

    What it imports is read from its `import` statements, wherever they stand; nothing is run. Other packages are not
    looked into. Raises SpecError as `file_of` does.
    """
    path = file_of(source, key)
    if source.endswith(".py"):
        files = _sources(path, path.parent, None)
    else:
        depth = source.count(".") + (path.name == "__init__.py")
        files = _sources(path, path.parents[depth], source.partition(".")[0])
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def load(source: str, key: str) -> ModuleType:
    """Import it, once a process. Its folder is looked through last for what it imports in turn.

    Raises:
        SpecError: it cannot be found, or raises while it is imported.
    """
    path = file_of(source, key)
    name = f"outside_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}" if source.endswith(".py") else source
    if name in sys.modules:
        return sys.modules[name]
    try:
        if not source.endswith(".py"):
            return importlib.import_module(name)
        return _run(path, name)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        sys.modules.pop(name, None)
        raise SpecError(f"{key}: {source} cannot be imported: {type(error).__name__}: {error}") from error


def attribute(text: str, root: Path, key: str) -> tuple[str, str]:
    """`SOURCE:NAME` taken apart, the source located. Raises SpecError where it is not of that form."""
    source, colon, name = text.rpartition(":")
    if not colon or not source or not name.isidentifier():
        raise SpecError(f"{key}={text} is not allowed; allowed: FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION")
    return locate(source, root), name


def _sources(path: Path, root: Path, package: str | None) -> list[Path]:
    """`path`, then the files below `root` that it imports in turn, by name; with `package` only those of it."""
    found, todo = {path}, [path]
    while todo:
        new = set(_imported(todo.pop(), root, package)) - found
        found |= new
        todo += new
    return [path, *sorted(found - {path})]


def _imported(path: Path, root: Path, package: str | None) -> Iterator[Path]:
    """The files below `root` of every module that a file names in an import, and of the packages that hold those."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # it will be told when it is run
        return
    for parts in _names(tree, path.parent.relative_to(root).parts):
        if parts[:1] != (package or parts[0],):
            continue
        for length in range(1, len(parts) + 1):
            place = root.joinpath(*parts[:length])
            yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def _names(tree: ast.AST, here: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names in the imports of a module whose package is `here`, each in its parts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names if alias.name != "*" or base)


def _run(path: Path, name: str) -> ModuleType:
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it runs
    spec.loader.exec_module(module)
    return module
