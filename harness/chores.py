"""The modes that run no cell: plan, doctor, report, repro, clean. They end before Hydra makes a folder for a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import CapabilityError, SpecError
from harness.spec import PROJECT, Spec
from harness.spec.fields import from_project, options

#: Of them only `plan` makes sense for a sweep; `report` is done once for an experiment, which is one.
MODES = ("plan", "doctor", "report", "repro", "clean")
#: What `repro` looks at unless told, and the claims.
RECORDED, CLAIMS = PROJECT / "experiments" / "recorded", PROJECT / "experiments" / "claims.yaml"
_MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def asked(specs: Sequence[Spec]) -> str | None:
    """The chore that these cells ask for, or None.

    Raises:
        SpecError: a sweep mixes it with anything else, or sweeps over what has no cells.
    """
    modes = {spec.mode for spec in specs}
    chores = modes & set(MODES)
    if not chores:
        return None
    if len(modes) > 1:
        raise SpecError(f"mode={','.join(sorted(modes))}: {', '.join(sorted(chores))} runs no cell: give it alone")
    (mode,) = chores
    once = mode == "plan" or (mode == "report" and specs[0].report.figures is not None)
    if len(specs) > 1 and not once:
        raise SpecError(f"mode={mode} is about no cell, and a sweep would do it {len(specs)} times: call it without -m")
    return mode


def run(specs: Sequence[Spec], folder: Path, numbers: Sequence[int] | None = None) -> int:
    """Do it and return the exit code; the output goes to the console.

    Args:
        specs: the cells as composed, one where it is no sweep, in the order in which they would run.
        folder: where Hydra would put the run.
        numbers: of the cells, where that is not their order.

    Raises:
        SpecError: what it is about does not exist.
    """
    mode = asked(specs)
    if mode == "plan":
        return _plan(specs, numbers)
    if mode == "doctor":
        return _doctor()
    if mode == "repro":
        return _repro(specs[0], folder)
    return _report(specs[0], folder) if mode == "report" else _clean(specs[0])


def _plan(specs: Sequence[Spec], numbers: Sequence[int] | None) -> int:
    from harness.cell.planning import lines, plan

    print("\n".join(lines(plan(specs), numbers)))
    return 0


def _doctor() -> int:
    from harness.testbed.doctor import examine
    from harness.testbed.translation import translated
    from netem.rootless import become_root_inside

    with suppress(CapabilityError):  # then the findings say so
        translated(become_root_inside)  # as a cell does: what an ordinary user's own namespaces can do counts
    found = examine()
    for each in found:
        print(f"{_MARKS[each.state]:<8} {each.name:<22} {each.detail}")
        if each.remedy:
            print(f"{'':<31} -> {each.remedy}")
    missing = [each.name for each in found if each.state == "missing"]
    notes = sum(each.state == "note" for each in found)
    if missing:
        print(f"This host cannot measure: {', '.join(missing)} missing. mode=predict works all the same.")
        return 1
    print("This host can measure" + (f"; {notes} thing{'s' if notes > 1 else ''} to know." if notes else "."))
    return 0


def _report(spec: Spec, folder: Path) -> int:
    from harness.report import collected

    if not spec.report.sources:
        raise SpecError("mode=report needs from=FOLDER, or from=[FOLDER,FOLDER]: folders of cells or of sweeps")
    if spec.report.figures is not None:
        from harness.report.figures import make

        for path in make(spec.report.figures, _folders(spec), folder, spec.report.formats, spec.report.dpi):
            print(f"drawn: {path}")
        print(f"results: {folder}")
        return 0
    count = collected.write(_folders(spec), folder)
    print(f"{count} cell{'s' if count != 1 else ''} gathered")
    print(f"results: {folder}")
    return 0


def _repro(spec: Spec, folder: Path) -> int:
    from harness.report import claims

    sources = _folders(spec) or [RECORDED]
    for source in sources:
        if not source.is_dir():
            raise SpecError(
                f"from={source}: there is no such folder; allowed: a folder that holds one for each experiment, such "
                "as outputs, or nothing for the recorded results"
            )
    outcomes = claims.evaluate(claims.read(CLAIMS), sources)
    folder.mkdir(parents=True, exist_ok=True)
    claims.write(outcomes, folder)
    print("\n".join(claims.console(outcomes)))
    print(f"results: {folder}")
    return 0


def _clean(spec: Spec) -> int:
    from harness.results import cleaning
    from harness.testbed import lock

    for folder in _folders(spec):
        if not folder.is_dir():
            raise SpecError(f"from={folder}: there is no such folder")
    with lock.measuring():  # a run that measures is not cleaned away
        removed, kept = 0, 0
        for folder in _folders(spec) or [PROJECT / "outputs", spec.profile_dir]:
            for each in cleaning.find(folder, options("experiment")):
                try:
                    each.remove()
                except OSError as error:
                    print(f"error: {each.path} stays: {error.strerror or error}", file=sys.stderr)
                    kept += 1
                    continue
                removed += each.size_bytes
                print(f"removed {each.kind:<14} {each.path} ({each.size_bytes / 1e6:.1f} MB)")
    print(f"{removed / 1e6:.1f} MB freed")
    return 1 if kept else 0


def _folders(spec: Spec) -> list[Path]:
    return [from_project(name) for name in spec.report.sources or ()]
