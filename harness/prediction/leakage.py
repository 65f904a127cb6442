"""What the tensor at each cut reveals of the picture: the record of it, and its file (pure).

Two numbers, both 0 for nothing and 1 for all of it: the bias-corrected distance correlation between pictures and
tensors, at every cut and transfer layer; and at some cuts the structural similarity (SSIM) of what a small decoder,
trained within a budget, makes of the tensors, to the pictures. A low number says that these two ways find little, not
that nobody could find more. The wire format is left out: what it loses is little, and the edge knows how to undo it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import SpecError
from harness.results.leakage import CutLeakage
from harness.results.records import write_json

#: Counts up whenever a record would hold other numbers.
LEAKAGE_VERSION = 1


@dataclass(frozen=True)
class LeakageRecord:
    """What a network's cuts reveal.

    fingerprint   what the numbers depend on: model, its content, pictures, transfer layers, version
    pictures      how many the correlation is over
    decoder       its budget and what it reaches at best: `steps`, `pictures`, `baseline_ssim` (of the mean picture)
    """

    fingerprint: Mapping[str, Any]
    pictures: int
    decoder: Mapping[str, Any]
    cuts: tuple[CutLeakage, ...]

    def by_candidate(self) -> dict[tuple[int, str], float]:
        """Distance correlation by cut and transfer layer."""
        return {(cut.split, cut.transfer_layer): cut.distance_correlation for cut in self.cuts}


def save(path: Path, record: LeakageRecord) -> None:
    """Write it whole or not at all."""
    write_json(path, asdict(record))


def load(path: Path, fingerprint: Mapping[str, Any]) -> LeakageRecord | None:
    """The record at `path`, None where there is none.

    Raises:
        SpecError: the file is broken, or of something else than its name says.
    """
    again = "delete it, or make it anew with mode=profile leakage.enabled=true"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SpecError(
            f"the leakage record {path.name} cannot be read ({' '.join(str(error).split())}); {again}"
        ) from None
    try:
        cuts = tuple(CutLeakage(**cut) for cut in data["cuts"])
        record = LeakageRecord(data["fingerprint"], int(data["pictures"]), data["decoder"], cuts)
        values = [float(cut.distance_correlation) for cut in cuts]
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(
            f"the leakage record {path.name} is broken ({type(error).__name__}: {error}); {again}"
        ) from None
    if not cuts or not all(0 <= value <= 1 for value in values):
        raise SpecError(f"the leakage record {path.name} is broken (correlations outside 0 to 1, or none); {again}")
    if record.fingerprint != dict(fingerprint):
        raise SpecError(f"the leakage record {path.name} belongs to another model or other pictures; {again}")
    return record
