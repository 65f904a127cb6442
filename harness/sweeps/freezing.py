"""The code and the configuration of a sweep, copied into its folder: what is edited meanwhile changes no later cell.

A cell imports modules late, and its tiers are processes that start from files; so the whole sweep runs from a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.results import occupied
from harness.spec import CODE, PROJECT
from harness.spec.fields import PROJECT_VARIABLE
from harness.testbed.host import COPIED_FROM, git_state

#: Modes whose sweeps are over before anybody edits anything.
AT_ONCE = ("predict",)
#: The copy, in the folder of the sweep.
FOLDER = ".code"
#: Packages and files that a run is made of.
_PARTS = ("harness", "netem", "hydra_plugins", "run.py")
_CONFIGURATION = "conf"


def frozen(sweep: Path) -> bool:
    """Whether this process runs from the copy in that folder."""
    return (sweep / FOLDER).resolve() == CODE


def freeze(sweep: Path) -> None:
    """Copy code and configuration. Where the sweep has a configuration already, it keeps that: its cells are known.

    The code is copied anew: whoever starts a sweep again after an error may have mended it.
    """
    copy = sweep / FOLDER
    for part in _PARTS:
        _copy(CODE / part, copy / part)
    if not (copy / _CONFIGURATION).exists():
        _copy(CODE / _CONFIGURATION, copy / _CONFIGURATION)
    (copy / COPIED_FROM).write_text(json.dumps(git_state()), encoding="utf-8")


def start_anew(sweep: Path) -> None:
    """This process again, with the same arguments, from the copy. Does not return.

    Args:
        sweep: its folder, as Hydra resolved it: a name with the time in it would be another one by now.
    """
    copy = (sweep / FOLDER).resolve()
    inherited = os.environ.get("PYTHONPATH", "")
    environment = {
        **os.environ,
        **occupied.bequeathed(),
        PROJECT_VARIABLE: str(PROJECT),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(copy), inherited])),
    }
    first = len(sys.orig_argv) - len(sys.argv)  # of the script among what Python was called with
    before, script = sys.orig_argv[1:first], sys.orig_argv[first]
    if Path(script).resolve() == CODE / "run.py":
        script = str(copy / "run.py")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *before, script, *named(sys.argv[1:], sweep)], environment)


def named(arguments: Sequence[str], sweep: Path) -> list[str]:
    """The same arguments with the folder of the sweep among the overrides, which have to stand together."""
    if any(argument.lstrip("+").startswith("hydra.sweep.dir=") for argument in arguments):
        return list(arguments)
    last = max((place for place, each in enumerate(arguments) if "=" in each and not each.startswith("-")), default=-1)
    place = last + 1 if last >= 0 else len(arguments)
    return [*arguments[:place], f"hydra.sweep.dir={_quoted(sweep)}", *arguments[place:]]


def _quoted(path: Path) -> str:
    text = str(path)
    return text if text.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum() else f"'{text}'"


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all, also where it is killed half-way."""
    made = target.with_name(f".{target.name}.new")
    made.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        shutil.rmtree(made)
    if source.is_file():
        shutil.copy2(source, made)
    else:
        shutil.copytree(source, made, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    if target.is_dir():
        shutil.rmtree(target)
    made.replace(target)
