"""What the records of a cell contain: keys, terms, columns. Everything else derives from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1

#: The terms of one request in the order in which they happen; each in ms. DESIGN: "Terms of one request".
TERMS = (
    "device",
    "device_tl",
    "serialize",
    "uplink",
    "queue",
    "deserialize",
    "edge_tl",
    "edge",
    "downlink",
)
#: What each tier spends on a request by its own clock, in this order. The queue before the edge is the server's.
DEVICE_TERMS, EDGE_TERMS = ("device", "device_tl", "serialize"), ("deserialize", "edge_tl", "edge")
#: Terms measured inside a tier, with one clock each; the rest of the total is the network's.
TIER_TERMS = (*DEVICE_TERMS, "queue", *EDGE_TERMS)

#: Idleness before a request: what the last one left behind (acknowledgements, a trace file) is done by then. Part of
#: what a request is: a candidate's own silence between two transfers holds it.
REQUEST_IDLE_MS = 10.0

CANDIDATES = ("device-only", "edge-only", "split")

#: Eqs. 1 to 6 of the paper at one cut, on its `maxpool` row.
EQUATIONS = ("e_tl_ms", "s_tl_ms", "c_tl_ms", "s_orig_ms", "c_orig_ms", "delta_t_ms")

#: Columns of `splits.csv`, in this order.
COLUMNS = (
    "candidate",
    "split",
    "layer",
    "scission_cut",
    "transfer_layer",
    "wire_format",
    "payload_bytes",
    "feasible",
    "infeasible_because",
    "forecast_ms",
    "predicted_ms",
    "predicted_low_ms",
    "predicted_high_ms",
    "paper_ms",
    "measured_ms",
    "measured_low_ms",
    "measured_high_ms",
    "samples",
    "error",
    *(f"{term}_{kind}_ms" for term in TERMS for kind in ("predicted", "measured")),
    "network_measured_ms",
    "other_measured_ms",
    *EQUATIONS,
)
#: Columns behind them where a tier was replayed: the terms of a candidate that a recording dictated, and those among
#: them that nobody recorded and an estimate stands for (`estimated` of `summary.json` names the method); joined by `;`.
PROVENANCE_COLUMNS = ("replayed", "estimated")
#: Columns of `errors.csv`, one line a measured candidate and term (`TERMS`, then `other` and `total`). Errors are
#: predicted - measured, with the 95 % interval of the measured median; `share_of_total` is the error as a share of the
#: candidate's measured total. The 95th percentiles of single requests stand on the `total` line alone.
ERROR_COLUMNS = (
    "candidate",
    "split",
    "transfer_layer",
    "wire_format",
    "term",
    "predicted_ms",
    "measured_ms",
    "error_ms",
    "error_low_ms",
    "error_high_ms",
    "share_of_total",
    "predicted_p95_ms",
    "measured_p95_ms",
)
#: What `results.csv` of a sweep puts before them (then one `sweep.<key>` column for any other swept key).
SWEEP_COLUMNS = ("model", "hardware", "bandwidth_mbps", "rtt_ms")


@dataclass(frozen=True, order=True)
class Key:
    """One way to run a request, the key of every record.

    split           Keras index of the last device layer; None for `device-only` and `edge-only`
    transfer_layer  label of the transfer layer: its name, and the parameters that have not their default:
                    `maxpool`, `maxpool:pool=3,interpolation=bilinear`, `bottleneck:ratio=8` (harness.transfer.layers)
    wire_format     of `edge-only` how the picture is sent: float32, uint8, jpeg (harness.transfer.pictures); of `split`
                    the label of the format's stages: `float16`, `uint8+zlib`, `uint8:percentile=99.9+jpeg:quality=75`;
                    one that ends in `!random` marks payloads whose size means nothing (harness.transfer.wire)

    Labels are those of `harness.results.labels`. Here they are only carried: whoever builds from one checks it.
    """

    candidate: str
    split: int | None = None
    transfer_layer: str = "none"
    wire_format: str = "float32"

    def __str__(self) -> str:
        if self.candidate == "device-only":
            return "device-only"
        if self.candidate == "edge-only":
            return f"edge-only/{self.wire_format}"
        return f"split/{self.split}/{self.transfer_layer}/{self.wire_format}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """The inverse of `str(key)`; raises ValueError for anything else."""
        parts = text.split("/")
        if parts == ["device-only"]:
            return cls("device-only")
        if len(parts) == 2 and parts[0] == "edge-only":
            return cls("edge-only", None, "none", parts[1])
        if len(parts) == 4 and parts[0] == "split":
            return cls("split", int(parts[1]), parts[2], parts[3])
        raise ValueError(f"not a candidate key: {text!r}")


@dataclass(frozen=True)
class Sample:
    """One measured request: a line of `samples.jsonl`. All times in ms.

    `order` is its place in the interleaved order of the whole cell; `terms` holds those of `TERMS` that
    this candidate has and this testbed can see; `other_ms` is the total less all of them. `started_ns` is when it
    began (CLOCK_MONOTONIC of the device), which ties it to the `trace.csv` of a link that changes.
    """

    key: Key
    order: int
    total_ms: float
    terms: dict[str, float]
    other_ms: float
    started_ns: int | None = None

    @property
    def closed(self) -> bool:
        """Whether the ways over the link are among the terms. Where they are not (two clocks, a foreign server),
        `other_ms` holds them too and says nothing about what the harness failed to explain."""
        return self.key.candidate == "device-only" or "uplink" in self.terms


@dataclass
class Row:
    """One line of `splits.csv`: a candidate with what was predicted and what was measured. Times in ms."""

    key: Key
    layer: str = ""
    scission_cut: bool | None = None
    payload_bytes: int | None = None
    feasible: bool = True
    infeasible_because: str = ""
    forecast_ms: float | None = None
    predicted_ms: float | None = None
    predicted_low_ms: float | None = None
    predicted_high_ms: float | None = None
    paper_ms: float | None = None
    measured_ms: float | None = None
    measured_low_ms: float | None = None
    measured_high_ms: float | None = None
    samples: int | None = None
    error: float | None = None
    predicted_terms: dict[str, float] = field(default_factory=dict)
    measured_terms: dict[str, float] = field(default_factory=dict)
    network_measured_ms: float | None = None
    other_measured_ms: float | None = None
    equations: dict[str, float] = field(default_factory=dict)
    replayed: tuple[str, ...] = ()
    estimated: tuple[str, ...] = ()
    # No column of `splits.csv`: `errors.csv` and `summary.json` have what follows from them.
    paper_eager_ms: float | None = None
    predicted_p95_ms: float | None = None
    measured_p95_ms: float | None = None

    def record(self) -> dict[str, Any]:
        """The row as `splits.csv` has it: every column of `COLUMNS`, None where there is no value, and behind them
        those of `PROVENANCE_COLUMNS`."""
        flat: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS if hasattr(self, name)}
        flat |= {
            "candidate": self.key.candidate,
            "split": self.key.split,
            "transfer_layer": self.key.transfer_layer,
            "wire_format": self.key.wire_format,
        }
        for term in TERMS:
            flat[f"{term}_predicted_ms"] = self.predicted_terms.get(term)
            flat[f"{term}_measured_ms"] = self.measured_terms.get(term)
        for name in EQUATIONS:
            flat[name] = self.equations.get(name)
        for name in PROVENANCE_COLUMNS:
            flat[name] = ";".join(getattr(self, name))
        return {name: flat.get(name) for name in (*COLUMNS, *PROVENANCE_COLUMNS)}


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Columns of a table of these rows: those of provenance too where anything in it was replayed."""
    return (*COLUMNS, *PROVENANCE_COLUMNS) if any(row.replayed for row in rows) else COLUMNS
