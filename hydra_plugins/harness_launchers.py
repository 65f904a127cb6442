"""Hydra finds launchers and sweepers in packages of this name; what they do is in harness.sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CellLauncher(Launcher):
    """conf/hydra/launcher/cells.yaml"""

    def __init__(self, order: str | None, seed: int) -> None:
        self._order = (order, seed)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        del task_function  # a cell is what the sweep has written down, not what Hydra would compose by then
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from harness.sweeps import serial

        return serial.launch(self._context, self._config, job_overrides, initial_job_idx)


class RayLauncher(Launcher):
    """conf/hydra/launcher/ray.yaml"""

    def __init__(
        self,
        address: str | None,
        cpus: int | None,
        cpus_per_cell: float,
        testbeds: Mapping[str, str],
        order: str | None,
        seed: int,
    ) -> None:
        self._cluster: dict[str, Any] = {"address": address, "cpus": cpus, "cpus_per_cell": cpus_per_cell}
        self._testbeds = dict(testbeds)
        self._order = (order, seed)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        del task_function  # a worker finds its own
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from harness.sweeps import cluster

        return cluster.launch(self._context, self._config, job_overrides, initial_job_idx)


class CellSweeper(BasicSweeper):
    """conf/hydra/sweeper/cells.yaml: every combination, as Hydra's own."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: every cell was composed and checked before the sweep began (harness.sweeps.planning)."""
