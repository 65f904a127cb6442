"""What Hydra calls around the cells: check the spec before anything exists, gather the results after.

Hydra turns an exception in a callback into a warning, but lets SystemExit through; so that is what they raise.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from harness import app, chores
from harness.errors import HarnessError
from harness.interrupts import INTERRUPTS
from harness.results import occupied, sweeps
from harness.results.records import STATUS
from harness.spec import Spec


class Experiment(Callback):  # type: ignore[misc]
    """Checks, gathers and decides the exit code of a run or of a sweep."""

    def __init__(self) -> None:
        self._codes: list[int] = []
        self._sweep: Path | None = None
        self._spec: Spec | None = None

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a wrong spec, and do what needs no cell, before the folder of the run is made."""
        try:
            spec = Spec.from_config(config)
            folder = Path(config.hydra.run.dir)
            if chores.asked([spec]):
                raise SystemExit(chores.run([spec], folder))
            app.check(spec)
            app.require_apart([spec], "hydra.run.dir", folder)
            app.require_room([spec], "hydra.run.dir", folder)
            occupied.occupy("hydra.run.dir", folder)
        except Exception as error:
            raise SystemExit(app.refuse(error)) from None

    def on_run_end(self, config: DictConfig, **_: Any) -> None:
        """A single run ends with the code of its cell."""
        folder = Path(config.hydra.run.dir)
        if (folder / STATUS).exists():  # a full disk took none, and has been complained of
            _summarise(folder)
        raise SystemExit(app.combine(self._codes))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a sweep, one wrong cell in it being enough, or plan it, before its folder is made."""
        from harness.sweeps import freezing, planning  # a single run does without them

        try:
            folder = Path(config.hydra.sweep.dir)
            specs, record = planning.plan(
                config, folder, lambda spec: None if spec.mode in chores.MODES else app.check(spec)
            )
            if chores.asked(specs):
                raise SystemExit(chores.run([specs[number] for number in record.sequence], folder, record.sequence))
            planning.check_launcher(config, specs)
            planning.require_same(folder, record)
            app.require_apart(specs, "hydra.sweep.dir", folder)
            app.require_room(specs, "hydra.sweep.dir", folder)
            occupied.occupy("hydra.sweep.dir", folder)
            lasting = any(spec.mode not in freezing.AT_ONCE for spec in specs)
            if lasting and not freezing.frozen(folder):
                freezing.freeze(folder)
                sweeps.write(folder, record)  # the copy need not compose the cells again
                freezing.start_anew(folder)
            planning.begin(folder, record)
        except Exception as error:
            raise SystemExit(app.refuse(error)) from None
        INTERRUPTS.defer()  # from here on there is something to gather
        self._sweep, self._spec = folder, specs[0]
        randomly = f" in random order (seed {record.seed})" if record.order == "random" else ""
        print(f"sweep of {len(specs)} cells{randomly} in {self._sweep}", flush=True)

    def on_job_end(self, job_return: Any, **_: Any) -> None:
        """Note the code of a cell; an interrupt ends the whole sweep, which is gathered all the same."""
        code = job_return._return_value  # the property would raise what a broken job raised
        self._codes.append(code if isinstance(code, int) else 1)
        if self._sweep and code == app.INTERRUPTED:
            self._finish()

    def on_multirun_end(self, **_: Any) -> None:
        """Gather the sweep from disk and end with the combined code."""
        self._finish()

    def _finish(self) -> None:
        if self._sweep is None:
            raise SystemExit(app.combine(self._codes))
        if INTERRUPTS.asked:
            self._codes.append(app.INTERRUPTED)
        try:
            from harness.report.sweep import aggregate

            self._codes.append(aggregate(self._sweep)["exit_code"])
            self._draw(self._sweep)
            _summarise(self._sweep)
        except Exception as error:
            app.report_crash(self._sweep, error)
            self._codes.append(1)
        print(f"results: {self._sweep}", file=sys.stdout, flush=True)
        raise SystemExit(app.combine(self._codes))

    def _draw(self, sweep: Path) -> None:
        """The figures of an experiment, from what its cells left; those of a sweep that was interrupted too."""
        if self._spec is None or self._spec.report.figures is None:
            return
        from harness.report.figures import make

        report = self._spec.report
        try:
            for path in make(report.figures or (), [sweep], sweep, report.formats, report.dpi):
                print(f"drawn: {path}", flush=True)
        except HarnessError as error:  # no cell to draw from: those have said what failed
            self._codes.append(max(1, app.complain(error)))


def _summarise(folder: Path) -> None:
    from harness.report import markdown  # late: what only checks a spec does without

    try:
        markdown.write(folder, announce=True)
    except Exception as error:  # Hydra would make a warning of it, and end with 0
        print(f"error: no {markdown.FILE} in {folder}: {' '.join(str(error).split())}", file=sys.stderr)
