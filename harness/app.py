"""The modes of run.py: one cell from a spec to a `status.json`, and the exit codes.

A cell never raises: what went wrong stands in its `status.json` (`error.log` has the traceback), in one line
on the console, and in its exit code.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.errors import GateFailure, HarnessError, SpecError
from harness.interrupts import INTERRUPTS
from harness.results import attempts, disk, sweeps
from harness.results.cells import is_cell
from harness.results.records import STATUS, write_atomic, write_json
from harness.results.schema import SCHEMA_VERSION
from harness.spec import Spec, composition
from harness.streams import Tolerant

INTERRUPTED = 130
#: DESIGN, "CLI": the first of these that any cell ended with.
EXIT_CODES = (INTERRUPTED, 2, 1, 3, 4, 0)
#: What the verdict of a cell that ran to its end means to the shell.
VERDICT_CODES = {None: 0, "pass": 0, "fail": 3, "inconclusive": 4}

SPEC = "spec.yaml"
ERROR_LOG = "error.log"
#: Written by a cell; removed before it is run anew, so that no file of an earlier try passes for one of this.
RECORDS = (
    STATUS, ERROR_LOG, "env.json", "samples.jsonl", "anchors.jsonl", "trace.csv", "predictions.csv", "leakage.csv",
    "representations.npz", "representations.svg", "representations.png", "representations.pdf", "manifest.json",
    "device.keras", "edge.keras", "splits.csv", "errors.csv", "lookup.json", "link.txt", "summary.json", "summary.md",
    "report.html", "errors.svg", "errors.png", "errors.pdf", "cuts.svg", "cuts.png", "cuts.pdf", "whatif.csv",
    "whatif.svg", "whatif.png", "whatif.pdf", "accuracy.json", "accuracy.csv", "history.csv", "predictions.npz",
    "tl_model.keras",
)  # fmt: skip

#: Modes that write into `profile.dir`.
_PROFILING = ("validate", "measure", "profile")

Runner = Callable[[Spec, Path], str | None]


def combine(codes: Iterable[int]) -> int:
    """The exit code of several cells: the first of `EXIT_CODES` among them; a code unknown to it counts as 1."""
    known = {code if code in EXIT_CODES else 1 for code in codes}
    return next((code for code in EXIT_CODES if code in known), 0)


def complain(error: BaseException) -> int:
    """Say on the console, in one line, what is wrong; returns the exit code that goes with it."""
    print(f"error: {_line(error)}", file=sys.stderr, flush=True)
    return error.exit_code if isinstance(error, HarnessError) else 1


def refuse(error: Exception) -> int:
    """Say why nothing is begun; returns the exit code that goes with it.

    For what Hydra calls before a run: of an error there it would make a warning, and begin.
    """
    if isinstance(error, HarnessError):
        return complain(error)
    if (line := disk.explain(error)) is not None:
        return complain(HarnessError(line))
    if isinstance(error, OSError):  # nothing has been started yet: it is a path of the command line
        return complain(SpecError(_line(error)))
    if isinstance(error, OmegaConfBaseException):  # such as a folder whose name refers to what is not there
        return complain(SpecError(composition.explain_hydra(error)))
    traceback.print_exception(error)
    return 1


def guard(main: Callable[[], Any]) -> int:
    """Run Hydra's `main`; what Hydra raises becomes one line and the exit code that DESIGN gives it."""
    INTERRUPTS.watch()  # a polite kill cleans up as Ctrl-C does
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, Tolerant(sys.stdout))
    try:
        composition.compose_once(sys.argv[1:])
        if any(argument.startswith("-") for argument in sys.argv[1:]):
            composition.check_flags(sys.argv[1:])
        main()
    except KeyboardInterrupt:
        INTERRUPTS.over()
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
    except HarnessError as error:
        return complain(error)
    except Exception as error:
        from hydra.core.hydra_config import HydraConfig

        if (line := disk.explain(error)) is not None:
            return complain(HarnessError(line))
        # Until Hydra has composed, nothing of ours has run: whatever it stumbles over is the command line.
        if isinstance(error, composition.COMPOSITION_ERRORS) or HydraConfig.instance().cfg is None:
            return complain(SpecError(composition.explain_hydra(error)))
        if isinstance(error, OSError):
            return complain(error)
        traceback.print_exc()
        return 1
    finally:
        INTERRUPTS.over()
    return 0


def run_job(config: DictConfig) -> int:
    """One job of Hydra's. In a sweep, a cell that its folder already holds, finished, is kept."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    try:
        if hydra.mode == RunMode.MULTIRUN:
            return run_of_sweep(frozen(Path(hydra.sweep.dir), hydra.job.num) or Spec.from_config(config), folder)
        return run_cell(Spec.from_config(config), folder)
    except HarnessError as error:  # only with a sweeper that invents its cells as it goes
        return complain(error)


def run_of_sweep(spec: Spec, folder: Path) -> int:
    """One cell of a sweep, unless its folder holds it, finished, or the sweep was told to stop."""
    code = kept(spec, folder)
    if code is not None:
        return code
    if INTERRUPTS.asked:
        return conclude(spec, folder, "interrupted", "interrupted before it began", INTERRUPTED)
    return run_cell(spec, folder, attempt=attempts.begin(folder))


def kept(spec: Spec, folder: Path) -> int | None:
    """The exit code of a cell that its folder holds, finished, and a word about it; None where it has to run."""
    code = finished(spec, folder)
    if code is not None:
        print(f"kept: {_short(folder)}", flush=True)
    return code


def frozen(sweep: Path, number: int) -> Spec | None:
    """The cell as it was before the first of the sweep began; None where nothing was written down."""
    record = sweeps.read(sweep)
    return Spec.from_config(record.cells[number].spec) if record is not None and number < len(record.cells) else None


def finished(spec: Spec, folder: Path) -> int | None:
    """The exit code of the cell in `folder` if it ran to its end with this very spec, else None."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        same = (folder / SPEC).read_text(encoding="utf-8") == spec.to_yaml()
        return int(status["exit_code"]) if same and status["status"] == "ok" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_cell(spec: Spec, folder: Path, runner: Runner | None = None, attempt: attempts.Attempt | None = None) -> int:
    """Run one cell into `folder` and return its exit code. Never raises, not even when interrupted.

    Args:
        spec: what to run.
        folder: where its files go; made if missing.
        runner: what runs it, `harness.cell.run` unless told: returns the verdict, raises HarnessError.
        attempt: which of several tries of a sweep this is; the status says so.
    """
    started = _now()
    with INTERRUPTS.deferred():
        status = _run(spec, folder, runner) | {"started": started, "finished": _now()}
        if attempt is not None:
            status |= attempt.record()
        written = _write_status(folder, status)
        if attempt is not None and written:
            attempt.end(status)
    print(f"results: {_short(folder)}", flush=True)
    return int(status["exit_code"]) if written else combine([1, int(status["exit_code"])])


def conclude(spec: Spec, folder: Path, status: str, error: str, code: int) -> int:
    """Write down how a cell ended that cannot say so itself; returns its exit code."""
    write_atomic(folder / SPEC, spec.to_yaml())
    ended = {"status": status, "verdict": None, "error": error, "exit_code": code, "finished": _now()}
    _write_status(folder, ended)
    print(f"error: {error}", file=sys.stderr, flush=True)
    return code


def _run(spec: Spec, folder: Path, runner: Runner | None) -> dict[str, Any]:
    """How it ended, as `status.json` says it."""
    status: dict[str, Any] = {"status": "ok", "verdict": None, "error": None, "exit_code": 0}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if is_cell(folder):  # a folder that never was one has files of somebody else's by these names
            for name in RECORDS:
                (folder / name).unlink(missing_ok=True)
        write_atomic(folder / SPEC, spec.to_yaml())
        with INTERRUPTS.allowed():
            verdict = (runner or _default_runner())(spec, folder)
        status |= {"verdict": verdict, "exit_code": VERDICT_CODES[verdict]}
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)
        status |= {"status": "interrupted", "error": "interrupted", "exit_code": INTERRUPTED}
    except GateFailure as error:
        status |= {"verdict": "fail", "error": _line(error), "exit_code": complain(error)}
    except HarnessError as error:
        kind = "invalid" if isinstance(error, SpecError) else "failed"
        status |= {"status": kind, "error": _line(error), "exit_code": complain(error)}
        if kind == "failed":
            _log(folder, error)
    except (Exception, SystemExit) as error:
        line = disk.explain(error, folder)
        if line is None:
            report_crash(folder, error)
        else:
            complain(HarnessError(line))
            _log(folder, error, said=line)
        status |= {"status": "failed", "error": line or _line(error), "exit_code": 1}
    return status


def report_crash(folder: Path, error: BaseException) -> None:
    """The traceback of an unforeseen error into `error.log`, one line to the console."""
    print(f"error: {_line(error)}; traceback in {_short(folder / ERROR_LOG)}", file=sys.stderr, flush=True)
    _log(folder, error)


def check(spec: Spec) -> None:
    """What can be wrong with a valid spec on this host. Raises SpecError; nothing is started."""
    from harness.cell import check as check_cell

    check_cell(spec)


def require_apart(specs: Sequence[Spec], key: str, folder: Path) -> None:
    """Raise SpecError where these cells would overwrite what they read.

    Args:
        key: names the folder of their results.
    """
    for spec in specs:
        for name, path in spec.inputs.items():
            there, here = path.resolve(), folder.resolve()
            of_a_cell = there.name in RECORDS or is_cell(there)
            within = here in there.parents if key == "hydra.sweep.dir" else here == there.parent
            if here == there or (within and of_a_cell):
                raise SpecError(
                    f"{name}={path}: it lies in the folder of this run, {key}={folder}, whose earlier files are "
                    "replaced; allowed: another folder for the run"
                )


def require_room(specs: Sequence[Spec], key: str, folder: Path) -> None:
    """Raise SpecError where the disk would not take what these cells leave.

    Args:
        key: names the folder of their results.
    """
    disk.require_room(key, folder)
    for place in {spec.profile_dir for spec in specs if spec.mode in _PROFILING}:
        disk.require_room("profile.dir", place)


def _default_runner() -> Runner:
    from harness.cell import run  # late: what only checks a spec does not load what runs it

    return run


def _log(folder: Path, error: BaseException, said: str = "") -> None:
    try:
        write_atomic(folder / ERROR_LOG, "".join(traceback.format_exception(error)))
    except OSError as trouble:
        _unwritten(folder / ERROR_LOG, trouble, said)


def _write_status(folder: Path, status: dict[str, Any]) -> bool:
    """Whether it could be written."""
    try:
        write_json(folder / STATUS, {"schema_version": SCHEMA_VERSION, **status})
    except OSError as trouble:
        _unwritten(folder / STATUS, trouble, str(status["error"]))
        return False
    return True


def _unwritten(path: Path, trouble: OSError, said: str) -> None:
    """Say what is missing, unless what is wrong with the disk was said already."""
    if str(trouble.strerror) not in said:
        print(f"error: cannot write {path}: {trouble.strerror or trouble}", file=sys.stderr, flush=True)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, HarnessError) else f"{type(error).__name__}: {text}"


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
