"""Python code of the user's, from outside this tree: a file (`my_net.py`) or an installed module (`package.nets`)."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
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
    try:
        found = importlib.util.find_spec(source)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise SpecError(
            f"{key}: no module {source!r} that this Python ({sys.executable}) can import; allowed: an installed "
            "module, or a file that ends in .py"
        )
    return Path(found.origin)


def digest(source: str, key: str) -> str:
    """SHA-256 of the file's content. Raises SpecError as `file_of` does."""
    return hashlib.sha256(file_of(source, key).read_bytes()).hexdigest()


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
    except Exception as error:  # whatever the user's code raises
        sys.modules.pop(name, None)
        raise SpecError(f"{key}: {source} cannot be imported: {type(error).__name__}: {error}") from error


def attribute(text: str, root: Path, key: str) -> tuple[str, str]:
    """`SOURCE:NAME` taken apart, the source located. Raises SpecError where it is not of that form."""
    source, colon, name = text.rpartition(":")
    if not colon or not source or not name.isidentifier():
        raise SpecError(f"{key}={text} is not allowed; allowed: FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION")
    return locate(source, root), name


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
