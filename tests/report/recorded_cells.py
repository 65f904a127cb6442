"""Cells as experiments leave them, made up: every cut and configuration that the figures and claims look for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from harness.results import accuracy
from harness.results.records import CellWriter, csv_text, write_atomic, write_json
from harness.results.schema import TERMS, Key, Row

CUTS = (1, 2, 5, 51, 139, 592)
_BYTES = {1: 634_800, 2: 3_211_264, 5: 3_326_976, 51: 1_605_632, 139: 802_816, 592: 326_144}


def row(key: Key, ms: float, *, replayed: bool = True, error: float = 0.01, payload: int | None = None) -> Row:
    """A measured row whose terms add up; predicted `error` too slow."""
    shares = {"device": 0.5, "serialize": 0.05, "uplink": 0.3, "edge": 0.1, "downlink": 0.05}
    shares |= {"device_tl": 0.001, "edge_tl": 0.001} if key.transfer_layer == "maxpool" else {}
    measured = {term: ms * shares[term] for term in TERMS if term in shares}
    return Row(
        key,
        scission_cut=key.split is not None or None,
        payload_bytes=payload,
        feasible=key.split is None or key.split >= 5,
        infeasible_because="" if key.split is None or key.split >= 5 else "cut < constraints.min_split 5",
        forecast_ms=ms * (1 + 2 * error),
        predicted_ms=ms * (1 + error),
        paper_ms=ms * 0.95,
        measured_ms=ms,
        measured_low_ms=ms * 0.99,
        measured_high_ms=ms * 1.01,
        samples=6,
        error=error,
        predicted_terms={term: value * (1 + error) for term, value in measured.items()},
        measured_terms=measured,
        replayed=("device", "edge") if replayed else (),
        estimated=("serialize",) if replayed and key.transfer_layer == "none" and key.split else (),
    )


def split_rows(times_ms: dict[tuple[int, str], float]) -> list[Row]:
    sizes = {"none": 1, "maxpool": 4}
    return [
        row(Key("split", cut, layer), ms, payload=_BYTES[cut] // sizes[layer]) for (cut, layer), ms in times_ms.items()
    ]


def slices(scale: float = 1.0) -> list[Row]:
    """Device alone and every cut, with and without the transfer layer; best at 1, from 5 on at 51 and 139."""
    base = dict(zip(CUTS, (100.0, 500.0, 400.0, 300.0, 250.0, 400.0), strict=True))
    small = dict(zip(CUTS, (60.0, 200.0, 150.0, 120.0, 130.0, 380.0), strict=True))
    times = {(cut, layer): scale * own[cut] for cut in CUTS for layer, own in (("none", base), ("maxpool", small))}
    return [row(Key("device-only"), 300.0 * scale), *split_rows(times)]


def cell(
    folder: Path,
    rows: Iterable[Row],
    *,
    model: str = "densenet169",
    hardware: str = "gpu_device-gpu_edge",
    bandwidth: float = 57.0,
    rtt: float = 28.0,
    seconds: float = 120.0,
    **summary: Any,
) -> Path:
    with CellWriter(folder) as writer:
        known = list(rows)
        if known:
            writer.splits(known)
        writer.summary({"min_split": 5, "verdict": None, **summary})
    spec = {"model": {"name": model}, "hardware": {"name": hardware}, "bandwidth": bandwidth, "latency": rtt}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    start, end = "2026-01-01T00:00:00+00:00", f"2026-01-01T00:{int(seconds // 60):02}:{seconds % 60:06.3f}+00:00"
    write_json(folder / "status.json", {"status": "ok", "exit_code": 0, "started": start, "finished": end})
    return folder


def trained(folder: Path, *, transfer_layer: str = "maxpool", wire_format: str = "float32", drop: float = 0.4) -> None:
    """A finished training."""
    cell(folder, [], hardware="iiot", model="densenet169")
    rows = [
        accuracy.Row("original", 0.90, 0.99, 1000, 0.9),
        accuracy.Row("control", 0.899, 0.99, 1000, 0.9, 1.0, 0.1, -0.2, 0.4),
        accuracy.Row("tl_before", 0.30, 0.80, 1000, 0.3),
        accuracy.Row("tl_retrained", 0.9 - drop / 100, 0.985, 1000, 0.89, 1.0, drop, drop - 0.5, drop + 0.5),
    ]
    record = {
        "model": "densenet169", "split": 51, "layer": "pool2_pool", "transfer_layer": transfer_layer,
        "wire_format": wire_format, "dataset": "fashion_mnist", "seed": 0, "input_shape": [32, 32, 3],
        "payload_shape": [4, 4, 128 if transfer_layer == "maxpool" else 32], "reference": "original",
    }  # fmt: skip
    accuracy.write(folder, record, rows, [])


def revealed(folder: Path) -> None:
    """What mode=profile leakage.enabled=true leaves."""
    cell(folder, [], model="resnet101", hardware="local", weights="random, seed 0")
    columns = ("split", "layer", "transfer_layer", "distance_correlation", "ssim")
    values = [
        (1, "conv1_pad", "none", 0.99, 0.9),
        (1, "conv1_pad", "maxpool", 0.9, 0.8),
        (5, "pool1", "none", 0.8, None),
    ]
    write_atomic(folder / "leakage.csv", csv_text(columns, [dict(zip(columns, line, strict=True)) for line in values]))
    tiles = np.random.default_rng(0).integers(0, 255, (8, 64, 64), dtype=np.uint8)
    np.savez_compressed(folder / "representations.npz", **{"1": tiles, "5": tiles[:, :32, :32]})


def all_experiments(folder: Path) -> Path:
    """A folder with cells for every figure."""
    pairs = ("cpu_device-cpu_edge", "cpu_device-gpu_edge", "gpu_device-cpu_edge", "gpu_device-gpu_edge")
    for place, pair in enumerate(pairs):
        cell(folder / "fig5" / pair, slices(2 - place / 4), hardware=pair)
        if pair.startswith("gpu"):
            cell(folder / "fig6" / pair, slices(1.2), model="resnet101", hardware=pair)
        else:
            why = "nobody recorded resnet101 on tx2_cpu"
            left_out = Row(Key("device-only"), feasible=False, infeasible_because=why)
            cell(folder / "fig6" / pair, [left_out], model="resnet101", hardware=pair, left_out=why)
    for model in ("densenet169", "densenet201"):
        cell(
            folder / "fig4" / model / "gpu_device", [row(Key("device-only"), 400.0)], model=model, hardware="gpu_device"
        )
        cell(folder / "fig4" / model / "gpu_device-gpu_edge", slices(), model=model)
    cell(folder / "fig4" / "densenet169" / "cpu_device", [row(Key("device-only"), 900.0)], hardware="cpu_device")
    for model in ("densenet169", "resnet101"):
        cell(folder / "fig7" / model, slices(), model=model, seconds=1.5)
    for rate in (60, 30):
        cell(folder / "fig9" / str(rate), slices(60 / rate), model="densenet201", bandwidth=float(rate), rtt=30.0)
    cell(folder / "table1" / "cpu_device", [row(Key("device-only"), 900.0)], hardware="cpu_device")
    cell(folder / "waterfall" / "densenet169", [row(Key("split", 51), 200.0, replayed=False)], hardware="iiot")
    cell(folder / "errors" / "0", slices())
    revealed(folder / "fig8" / "resnet101")
    trained(folder / "table2" / "densenet169")
    trained(folder / "front" / "maxpool-float32", drop=0.4)
    trained(folder / "front" / "maxpool-uint8", wire_format="uint8", drop=0.5)
    trained(folder / "front" / "bottleneck-uint8", transfer_layer="bottleneck", wire_format="uint8", drop=1.5)
    grid(cell(folder / "winmap" / "densenet169", slices(), seconds=3.0))
    return folder


def grid(folder: Path) -> None:
    """A what-if of 2 x 3 links."""
    from harness.report.whatif import COLUMNS, DATA

    lines = []
    for rate in (10.0, 100.0):
        for rtt in (0.0, 50.0, 100.0):
            best = ("split", 51, "maxpool", "float32") if rate > 50 else ("device-only", None, "none", "float32")
            values = (rate, rtt, 1.0, *best, 100.0 + rtt, "split/139/maxpool/float32", 130.0 + rtt)
            lines.append(dict(zip(COLUMNS, values, strict=True)))
    write_atomic(folder / DATA, csv_text(COLUMNS, lines))
