"""How far block times from features alone are off: each model left out in turn, from the profiles in a folder.

    python -m experiments.regression_errors [--profiles outputs/profiles] [--output FILE.md]

Prints a Markdown table for each tier, host and method that three or more models were profiled with. Profiles are made
with `python run.py -m mode=profile model=mobilenetv2,resnet50,densenet121,inception_v3`. Nothing is measured here.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from harness.errors import SpecError
from harness.prediction.profile import TierProfile
from harness.prediction.profile_io import load_tier
from harness.prediction.regression import fit_regression, scission_features

#: What profiles must share to be compared.
METHOD = ("tier", "host", "processor", "threads", "execution")


def groups(folder: Path) -> dict[tuple[str, ...], list[TierProfile]]:
    """Profiles by method, the newest of each model; files of other kinds and versions are passed over."""
    found: dict[tuple[str, ...], dict[str, TierProfile]] = defaultdict(dict)
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
        try:
            profile = load_tier(path)
        except SpecError:
            continue
        own = profile.fingerprint
        found[tuple(_told(own.get(key)) for key in METHOD)][str(own.get("model"))] = profile
    return {method: list(models.values()) for method, models in found.items() if len(models) > 2}


def _told(value: object) -> str:
    """A part of a fingerprint on a line; of a processor its kind and what else is known of it."""
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def row(left_out: TierProfile, others: list[TierProfile]) -> str:
    """One line of the table: what a regression on the others says of this model."""
    fitted = fit_regression(others)
    predicted, half_width = fitted.predict(left_out.block_features)
    theirs, _ = fitted.predict(scission_features(left_out))
    measured = np.asarray(left_out.block_ms)
    whole = measured.sum()
    errors = (
        predicted.sum() / whole - 1,
        float(theirs.sum()) / sum(left_out.scission_block_ms) - 1,
        float(np.abs(np.cumsum(predicted - measured)).max()) / whole,
        float(np.median(np.abs(predicted / measured - 1))),
    )
    cells = [f"{error:+.1%}" if place < 2 else f"{error:.1%}" for place, error in enumerate(errors)]
    held = "yes" if errors[2] <= half_width else "no"
    return f"| {left_out.fingerprint['model']} | {whole:.1f} | {' | '.join(cells)} | ±{half_width:.0%} | {held} |"


def table(method: tuple[str, ...], profiles: list[TierProfile]) -> list[str]:
    """The Markdown table of one tier."""
    lines = [
        f"**{', '.join(f'{name} {value}' for name, value in zip(METHOD, method, strict=True))}**",
        "",
        "| left out | blocks, ms | sum of blocks | Scission's blocks | worst head, of the whole | median block |"
        " interval | held |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for own in sorted(profiles, key=lambda profile: str(profile.fingerprint["model"])):
        lines.append(row(own, [other for other in profiles if other is not own]))
    return [*lines, ""]


def main() -> None:
    """Print the tables; exit code 2 where the folder has none to print."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.regression_errors", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--profiles", type=Path, default=Path("outputs/profiles"), help="folder of cached profiles")
    parser.add_argument("--output", type=Path, help="also write the tables here")
    arguments = parser.parse_args()
    found = groups(arguments.profiles)
    if not found:
        parser.error(f"{arguments.profiles} has no three models of one tier and method; make them with mode=profile")
    text = "\n".join(line for method, profiles in sorted(found.items()) for line in table(method, profiles))
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
