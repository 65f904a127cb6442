"""Cells of a sweep on a Ray cluster: as many at once as it has cores, what is timed one at a time on its testbed.

Hydra's own Ray launcher composes a cell when it starts it, brings boto3, and knows no testbeds; a cell here is what
`sweep.json` says, so that a worker needs neither Hydra's state nor the command line. The folder of the sweep, the
checkout and the virtual environment have to be the same path on every node.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, filter_overrides
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from harness import app
from harness.errors import HarnessError
from harness.interrupts import INTERRUPTS
from harness.results.sweeps import FrozenCell
from harness.spec import CODE, PROJECT, Spec
from harness.spec.fields import PROJECT_VARIABLE
from harness.sweeps import testbeds
from harness.sweeps.progress import left
from harness.sweeps.serial import in_order, returned

#: How often it is looked whether somebody wants to stop.
_POLL_S = 0.5
#: What an interrupted cell may take to write how it ended.
_GRACE_S = 30.0
#: Tensors do not travel through Ray; its store need not take a third of the memory.
_STORE_BYTES = 80 * 1024 * 1024


def launch(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run the cells. What became of them, as they were typed.

    Raises:
        HarnessError: the sweep was not written down.
    """
    import ray

    HydraConfig.instance().set_config(config)  # what goes wrong from here on is not the command line
    folder = Path(config.hydra.sweep.dir).resolve()
    launcher: Any = OmegaConf.to_container(config.hydra.launcher)
    cells = in_order(folder, first, len(job_overrides))
    try:
        _start(ray, launcher, cells)
    except HarnessError as error:
        return [returned(_not_started(folder, cell, error)) for cell in cells]
    try:
        codes = _run(ray, launcher, folder, cells, context, config)
    finally:
        ray.shutdown()
    return [returned(codes[number]) for number in sorted(codes)]


def _start(ray: Any, launcher: Mapping[str, Any], cells: Sequence[FrozenCell]) -> None:
    """Reach the cluster, or start one here that offers what the cells need.

    Raises:
        HarnessError: it cannot be reached or started, or has no node with a testbed that a cell needs.
    """
    needed = {testbed for cell in cells if (testbed := _testbed(cell, launcher)) is not None}
    if launcher["address"] is not None:
        _init(ray, address=launcher["address"])
        offered = ray.cluster_resources()
        missing = sorted(name for name in needed if testbeds.resource(name) not in offered)
        if missing:
            ray.shutdown()
            raise HarnessError(
                f"no node of the Ray cluster {launcher['address']} offers {testbeds.resource(missing[0])}: start "
                f"it there with ray start --address=HEAD --resources='{{\"{testbeds.resource(missing[0])}\": 1}}'"
            )
        return
    # Workers inherit the environment of the cluster's processes. Nothing is told to anybody outside.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    _init(
        ray,
        address="local",
        _node_ip_address="127.0.0.1",
        num_cpus=launcher["cpus"] or os.cpu_count(),
        resources={testbeds.resource(name): 1 for name in needed},
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
    )


def _init(ray: Any, **options: Any) -> None:
    try:
        ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises many types, gRPC's among them
        reason = " ".join(str(error).split())[:300]
        raise HarnessError(f"the Ray cluster {options['address']} cannot be reached: {reason}") from error


def _not_started(folder: Path, cell: FrozenCell, error: HarnessError) -> int:
    spec = Spec.from_config(cell.spec)
    kept = app.kept(spec, folder / cell.folder)
    return kept if kept is not None else app.conclude(spec, folder / cell.folder, "failed", str(error), 1)


def _testbed(cell: FrozenCell, launcher: Mapping[str, Any]) -> str | None:
    spec = Spec.from_config(cell.spec)
    return testbeds.testbed_of(spec, launcher["testbeds"], own_cluster=launcher["address"] is None)


def _run(
    ray: Any,
    launcher: Mapping[str, Any],
    folder: Path,
    cells: Sequence[FrozenCell],
    context: HydraContext,
    config: DictConfig,
) -> dict[int, int]:
    """Submit every cell, follow them until all have ended or somebody interrupts; exit codes by number."""
    where = (str(CODE), str(PROJECT), str(Path.cwd()))
    waiting: dict[Any, FrozenCell] = {}
    for cell in cells:
        testbed = _testbed(cell, launcher)
        own = {testbeds.resource(testbed): 1} if testbed else {}
        # Ray would run a cell again whose process died, without a word; here that is one that failed.
        task = ray.remote(max_retries=0, num_cpus=launcher["cpus_per_cell"], resources=own)(_worker())
        waiting[task.remote(*where, str(folder), asdict(cell))] = cell
    codes: dict[int, int] = {}
    began = time.monotonic()
    told = False
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=_POLL_S)
        for reference in ready:
            cell = waiting.pop(reference)
            codes[cell.number] = _result(ray, reference, folder, cell)
            pace = [(time.monotonic() - began) / len(codes)] * len(codes)
            typed = " ".join(filter_overrides(cell.overrides))
            ended = f"[{len(codes)}/{len(cells)}] cell {cell.number} ended with {codes[cell.number]}"
            print(f"{ended}{left(pace, len(waiting))}: {typed}"[:100], flush=True)
            if codes[cell.number] != app.INTERRUPTED:
                context.callbacks.on_job_end(config=config, job_return=returned(codes[cell.number]))
        if INTERRUPTS.asked and not told:
            told, until = True, time.monotonic() + _GRACE_S
            for reference in waiting:
                ray.cancel(reference)
        if told and time.monotonic() > until:
            break
    return codes


def _worker() -> Any:
    """What a worker runs. Sent whole: a worker of another node is told where the code is before it imports it."""

    variable = PROJECT_VARIABLE  # Ray sends what the function closes over with it

    def work(code: str, project: str, cwd: str, sweep: str, cell: dict[str, Any]) -> int:
        import os
        import sys
        from pathlib import Path

        os.environ[variable] = project
        os.environ["PYTHONPATH"] = code
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.chdir(cwd)
        sys.path.insert(0, code)
        from harness.results.sweeps import FrozenCell
        from harness.sweeps.serial import run_frozen

        return run_frozen(Path(sweep), FrozenCell(**cell))

    return work


def _result(ray: Any, reference: Any, folder: Path, cell: FrozenCell) -> int:
    """The exit code of a cell; one whose process died has none, and gets a status that says so."""
    try:
        return int(ray.get(reference))
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return app.INTERRUPTED
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:500]
        return app.conclude(
            Spec.from_config(cell.spec), folder / cell.folder, "failed", f"its Ray worker died: {reason}", 1
        )
