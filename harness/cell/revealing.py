"""The part of mode=profile that measures what each cut reveals, in a process of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from harness.cell import revealed, workers
from harness.cell.cache import model_spec
from harness.cell.profiler import Advance
from harness.dnn import zoo
from harness.prediction import leakage
from harness.prediction.leakage import LeakageRecord
from harness.report.representations import draw
from harness.results.leakage import CutLeakage
from harness.results.records import csv_text, write_atomic
from harness.spec import Spec

_COLUMNS = ("split", "layer", "transfer_layer", "distance_correlation", "ssim")
TABLE, TILES = "leakage.csv", "representations.npz"


def run(spec: Spec, folder: Path, advance: Advance) -> LeakageRecord:
    """Measure, keep the record beside the profiles, and leave table and figure in `folder`.

    Raises:
        HarnessError: the process failed.
    """
    model = model_spec(spec)
    request = {
        "model": asdict(model_spec(spec)),
        "transfer_layers": revealed.transfer_layers(spec),
        "pictures": spec.leakage.pictures,
        "decoders": spec.leakage.decoders,
        "decoder_steps": spec.leakage.decoder_steps,
        "shown": spec.leakage.shown,
        "tiles": str((folder / TILES).absolute()),  # the worker has a folder of its own
    }
    made = workers.run("harness.preprocessor.leakage", request, log=folder / "logs" / "leakage.log", advance=advance)
    content = zoo.content_key(model)
    cuts = tuple(CutLeakage(**cut) for cut in made["cuts"])
    record = LeakageRecord(revealed.fingerprint(spec, content), spec.leakage.pictures, made["decoder"], cuts)
    leakage.save(revealed.path(spec, content), record)
    write_atomic(folder / TABLE, csv_text(_COLUMNS, (vars(cut) for cut in record.cuts)))
    draw(folder / TILES, record, folder, title=_title(spec), formats=spec.report.formats, dpi=spec.report.dpi)
    return record


def lines(record: LeakageRecord) -> list[str]:
    """The record in a few lines for the console: the cuts with decoders, and those at which the number first falls."""
    shown = [f"What the cuts reveal of the picture, over {record.pictures} crops (1: all of it, 0: nothing):"]
    decoded = [cut for cut in record.cuts if cut.ssim is not None] or list(record.cuts)[
        :: max(1, len(record.cuts) // 8)
    ]
    for cut in decoded:
        ssim = "" if cut.ssim is None else f", decoded SSIM {cut.ssim:.2f}"
        shown.append(
            f"  cut {cut.split:>4} {cut.transfer_layer:<12} distance correlation {cut.distance_correlation:.3f}{ssim}"
        )
    baseline = record.decoder.get("baseline_ssim")
    if baseline is not None:
        shown.append(f"  the mean picture, which knows nothing of the tensor, has SSIM {baseline:.2f}")
    return shown


def _title(spec: Spec) -> str:
    weights = spec.model.weights or spec.model.file or f"random weights, seed {spec.seed}"
    return f"What crosses the front cuts of {spec.model.name} ({weights})"
