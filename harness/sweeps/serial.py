"""One cell after the other on this host, in the recorded order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from harness import app
from harness.errors import HarnessError
from harness.interrupts import INTERRUPTS
from harness.results import sweeps
from harness.results.records import write_atomic
from harness.results.sweeps import FrozenCell
from harness.spec import Spec
from harness.sweeps.progress import announce


def launch(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run the cells as they are written down; none is started after an interrupt.

    Args:
        job_overrides: of each cell, as typed.
        first: the number of the first.

    Returns:
        What became of those that ran, as they were typed.

    Raises:
        HarnessError: the sweep was not written down.
    """
    setup_globals()
    HydraConfig.instance().set_config(config)  # what goes wrong from here on is not the command line
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder = Path(config.hydra.sweep.dir)
    cells = in_order(folder, first, len(job_overrides))
    codes: dict[int, int] = {}
    took_s: list[float] = []
    for cell in cells:
        if INTERRUPTS.asked:
            break
        code = app.kept(Spec.from_config(cell.spec), folder / cell.folder)
        if code is None:
            announce(len(codes), took_s, len(cells), cell.number, cell.overrides)
            began = time.monotonic()
            code = run_frozen(folder, cell)
            took_s.append(time.monotonic() - began)
        codes[cell.number] = code
        context.callbacks.on_job_end(config=config, job_return=returned(code))
    return [returned(codes[number]) for number in sorted(codes)]


def run_frozen(sweep: Path, cell: FrozenCell) -> int:
    """One cell as the sweep has it written down; its exit code. Hydra need not compose it again."""
    folder = sweep / cell.folder
    try:
        write_atomic(folder / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(list(cell.overrides))))
        return app.run_of_sweep(Spec.from_config(cell.spec), folder)
    except OSError as error:  # of the cell's folder alone: the other cells go on
        return app.complain(error)


def in_order(folder: Path, first: int, count: int) -> list[FrozenCell]:
    """A batch of cells in the order that the sweep has written down. Raises HarnessError where it has not."""
    record = sweeps.read(folder)
    if record is None:
        raise HarnessError(f"{folder / sweeps.FILE} is missing: the sweep was not written down")
    return [record.cells[number] for number in record.sequence if first <= number < first + count]


def returned(code: int) -> JobReturn:
    """What Hydra takes for the end of a job."""
    return JobReturn(_return_value=code, status=JobStatus.COMPLETED)
