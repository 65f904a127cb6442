"""Hydra's side of a spec: the cells of a sweep, and Hydra's own errors in one line each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NoReturn

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.errors import SpecError
from harness.spec.fields import nearest, options
from harness.spec.messages import unknown_key
from harness.spec.schema import Spec

#: What Hydra raises for a command line that it knows to be wrong; ValueError for flags that exclude each other.
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError)

#: How an argument begins that can choose a sweep by the config alone.
_CHOOSING = ("experiment", "hydra.mode", "hydra=", "+", "~", "-")
#: Characters of a line that is for reading.
_LONGEST = 1000
_UNKNOWN = re.compile(r"Could not (?:override|delete(?: from config)?)\.? '([^'=]+)")


def compose_once(arguments: Sequence[str]) -> None:
    """Keep Hydra from composing everything only to see whether the config itself asks for a sweep (`hydra.mode`).

    That is a third of the start-up, and in `conf/` experiments alone do it: where no argument can bring one, Hydra is
    told what it would find, nothing.
    """
    if all(each in ("-m", "--multirun") or not each.startswith(_CHOOSING) for each in arguments):
        Hydra.get_mode = lambda *_, **__: None


def check_flags(arguments: Sequence[str]) -> None:
    """Find the flags that Hydra's argument parser would refuse with many lines of usage.

    Args:
        arguments: the command line as typed, without the program's name.

    Raises:
        SpecError: for the first flag that is unknown, or lacks its value.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise SpecError(f"{message}; allowed: key=value, group=option, and the flags of python run.py --hydra-help")

    parser.error = refuse
    unknown = parser.parse_known_args(arguments)[1]
    if unknown and unknown[0].startswith("-"):
        flags = [flag for action in parser._actions for flag in action.option_strings]
        refuse(f"unknown flag {unknown[0]}{nearest(unknown[0].partition('=')[0], flags)}")
    if unknown:
        refuse(
            f"{unknown[0]} stands apart from the other key=value arguments: put the flags before or after all of them"
        )


def sweep_overrides(config: DictConfig) -> list[tuple[str, ...]]:
    """What was typed for each cell of a sweep, in their order.

    Args:
        config: Hydra's own, with the overrides as typed in `hydra.overrides.task`.

    Raises:
        SpecError: an argument cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    loader = GlobalHydra.instance().config_loader()
    fixed = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(fixed + list(config.hydra.overrides.task))
        return [tuple(overrides) for overrides in BasicSweeper.split_arguments(parsed, None)[0]]
    except Exception as error:  # nothing of ours has run: whatever Hydra cannot do with it, the command line is wrong
        raise SpecError(explain_hydra(error)) from None


def compose_cell(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """One cell of a sweep as Hydra composes it. Raises SpecError where it cannot be."""
    try:
        composed: DictConfig = GlobalHydra.instance().config_loader().load_sweep_config(config, list(overrides))
    except Exception as error:  # as above
        raise SpecError(explain_hydra(error)) from None
    return composed


def explain_hydra(error: Exception) -> str:
    """One line for an error of Hydra's: what is wrong, what was given, what is allowed, the nearest name.

    A value of thousands of characters may stand in it: then its middle is left out, not what is allowed, at the end.
    """
    text = _explained(error)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


def _explained(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else str(error.__cause__ or error)
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read the argument {error.override!r}: {first}; allowed: key=value, group=option, "
            "and with -m also key=value1,value2; quote a value that holds other signs"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(error)
    unknown = _UNKNOWN.search(first)
    if unknown:
        return unknown_key(unknown.group(1), Spec)
    if first.startswith("Ambiguous value for argument"):
        given = first.split("'")[1]
        return f"{given} gives several values to one run; add -m to sweep over them, or write a list as key=[a,b]"
    if first.startswith("Config group override must be"):
        return f"{first}; allowed: group=option with a name that python run.py --help lists"
    if first.startswith("Error merging override") and error.__cause__:
        first = f"{first}: {str(error.__cause__).splitlines()[0]}"
        return " ".join(first.split())
    text = " ".join(str(error).split()) or first
    if not isinstance(error, COMPOSITION_ERRORS):  # it stumbled over something that it did not expect
        text = f"Hydra cannot read this command line: {type(error).__name__}: {text}"
    return text


def _unknown_option(error: Any) -> str:
    file = PurePosixPath(error.missing_cfg_file)
    group, name = str(file.parent), file.name.removesuffix(".yaml")
    choices = sorted(error.options or options(group))
    if group == "." or not choices:
        return f"{file} is not in conf/; allowed: see python run.py --help"
    return f"{group}={name} does not exist; allowed: {', '.join(choices)}{nearest(name, choices)}"
