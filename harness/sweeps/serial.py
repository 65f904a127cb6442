"""One cell after the other on this host, in the recorded order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from harness import app
from harness.interrupts import INTERRUPTS
from harness.results import sweeps
from harness.spec import Spec
from harness.sweeps.progress import announce


def launch(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run the cells; none is started after an interrupt. What became of them, those that ran, as they were typed.

    Args:
        job_overrides: of each cell, as typed.
        first: the number of the first.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    folder = Path(config.hydra.sweep.dir)
    done: dict[int, JobReturn] = {}
    took_s: list[float] = []
    for number in in_order(folder, first, len(job_overrides)):
        if INTERRUPTS.asked:
            break
        code = _kept(folder, number)
        if code is not None:
            done[number] = JobReturn(_return_value=code, status=JobStatus.COMPLETED)
            context.callbacks.on_job_end(config=config, job_return=done[number])
            continue
        announce(len(done), took_s, len(job_overrides), number, job_overrides[number - first])
        began = time.monotonic()
        job = context.config_loader.load_sweep_config(config, list(job_overrides[number - first]))
        with open_dict(job):
            job.hydra.job.id = job.hydra.job.num = number
        done[number] = run_job(
            hydra_context=context,
            task_function=task,
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        took_s.append(time.monotonic() - began)
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    return [done[number] for number in sorted(done)]


def _kept(folder: Path, number: int) -> int | None:
    """What a cell that the folder has, finished, ended with; Hydra need not compose it."""
    record = sweeps.read(folder)
    if record is None or number >= len(record.cells):
        return None
    cell = record.cells[number]
    return app.kept(Spec.from_config(cell.spec), folder / cell.folder)


def in_order(folder: Path, first: int, count: int) -> list[int]:
    """The numbers of a batch of cells in the order that the sweep has written down."""
    record = sweeps.read(folder)
    own = range(first, first + count)
    return [number for number in record.sequence if number in own] if record is not None else list(own)
