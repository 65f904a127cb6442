"""The cells of a sweep, composed before the first of them begins, or found where it was started before."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from harness.errors import SpecError
from harness.results import sweeps
from harness.results.sweeps import FrozenCell, SweepRecord
from harness.spec import CODE, Spec
from harness.spec.composition import compose_cell, sweep_overrides
from harness.testbed.host import describe_git

ORDERS = ("random", "given")
#: Modes that compare times (and the plan of them): what drifts with the hour should not drift with a swept key.
MEASURED = ("validate", "measure", "plan")


def plan(config: DictConfig, folder: Path, check: Callable[[Spec], None]) -> tuple[list[Spec], SweepRecord]:
    """Check every cell; those that the folder has written down as they are there, others composed. Nothing is started.

    Args:
        config: Hydra's own of the sweep.
        folder: of the sweep.
        check: what else may be wrong with a cell; raises SpecError.

    Returns:
        The specs as typed, and the record of the sweep.

    Raises:
        SpecError: a cell is wrong, two would share a folder, or the order is none.
        HarnessError: the folder's record cannot be read.
    """
    typed = sweep_overrides(config)
    known = sweeps.read(folder)
    record = known if known is not None and known.typed == typed else _compose(config, typed)
    try:
        specs = [Spec.from_config(cell.spec) for cell in record.cells]
    except SpecError as error:
        if record is not known:
            raise
        raise SpecError(
            f"{folder / sweeps.FILE}: the sweep was begun by another version, whose cells this one cannot read "
            f"({error}); allowed: another hydra.sweep.dir"
        ) from error
    for spec in specs:
        check(spec)
    return specs, record


def _compose(config: DictConfig, typed: Sequence[tuple[str, ...]]) -> SweepRecord:
    """Composing a cell takes Hydra some tenths of a second, so it is done once."""
    cells, specs = [], []
    for number, overrides in enumerate(typed):
        composed = compose_cell(config, overrides)
        specs.append(Spec.from_config(composed))
        cells.append(FrozenCell(number, _folder(composed, number), overrides, specs[-1].model_dump(mode="json")))
    _require_own_folders(cells)
    order, seed = _order(OmegaConf.to_container(config.hydra.launcher), specs)
    return SweepRecord(tuple(cells), order, seed, sequence(len(cells), order, seed))


def check_launcher(config: DictConfig, specs: Sequence[Spec]) -> None:
    """Find what the launcher lacks for these cells, before anything is made.

    Raises:
        SpecError: Ray is not installed, or a cell that is timed has no testbed.
    """
    if str(config.hydra.launcher._target_).endswith(".RayLauncher"):
        from harness.sweeps import testbeds

        testbeds.check(config.hydra.launcher, specs)


def sequence(count: int, order: str, seed: int) -> tuple[int, ...]:
    """The numbers of `count` cells in the order in which they run; the same for the same arguments."""
    numbers = list(range(count))
    if order == "random":
        random.Random(seed).shuffle(numbers)
    return tuple(numbers)


def begin(folder: Path, record: SweepRecord) -> None:
    """Note one start more of the sweep, and from which code."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    sweeps.write(folder, record.started({"at": now, "code_sha256": code_digest(), "git": describe_git()}))


def require_same(folder: Path, record: SweepRecord) -> None:
    """Raise SpecError where the folder holds another sweep: its cells would pass for this one's."""
    found = sweeps.read(folder)
    if found is not None and found.typed != record.typed:
        raise SpecError(
            f"hydra.sweep.dir={folder} holds another sweep, of {_told(found)}, and this one is of {_told(record)}; "
            "allowed: the same arguments, to go on with it, or another folder"
        )


def code_digest() -> str:
    """SHA-256 over the code and configuration that this process runs from."""
    digest = hashlib.sha256()
    for part in ("conf", "harness", "netem"):
        for path in sorted((CODE / part).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(f"{path.relative_to(CODE)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder(config: DictConfig, number: int) -> str:
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.job.num = config.hydra.job.id = number
    return str(config.hydra.sweep.subdir)


def _require_own_folders(cells: Sequence[FrozenCell]) -> None:
    taken: dict[str, FrozenCell] = {}
    for cell in cells:
        other = taken.setdefault(cell.folder, cell)
        if other is not cell:
            raise SpecError(
                f"hydra.sweep.subdir gives cells {other.number} and {cell.number} one folder, {cell.folder}; "
                "allowed: a name with every swept key in it, or hydra.job.num"
            )


def _order(launcher: Any, specs: Sequence[Spec]) -> tuple[str, int]:
    order, seed = launcher.get("order"), launcher.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise SpecError(f"hydra.launcher.seed={seed} is not allowed; allowed: a whole number")
    if order is None:
        measured = "order" in launcher and any(spec.mode in MEASURED for spec in specs)
        return ("random" if measured else "given"), seed
    if order not in ORDERS:
        raise SpecError(f"hydra.launcher.order={order} is not allowed; allowed: {', '.join(ORDERS)}, null")
    return order, seed


def _told(record: SweepRecord) -> str:
    cells = [" ".join(cell.overrides) or "no overrides" for cell in record.cells]
    shown = "; ".join(cells[:2]) + ("; …" if len(cells) > 2 else "")
    return f"{len(cells)} cell{'s' if len(cells) != 1 else ''} ({shown})"
