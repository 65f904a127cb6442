"""The records of one cell: one writer, one reader.

`samples.jsonl` grows line by line while the cell measures; every other file appears whole or not at all.

`schema_version` stands in every line of `samples.jsonl` and in every JSON file. The columns of `splits.csv` and
of `errors.csv` are a contract of their own and a comment line would spoil it for the tools that read them, so their
version is that of the `summary.json` beside them, and their header says the rest.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness.errors import HarnessError
from harness.results.disk import naming
from harness.results.lookup import FILE as LOOKUP
from harness.results.lookup import Lookup
from harness.results.schema import (
    COLUMNS,
    EQUATIONS,
    ERROR_COLUMNS,
    PROVENANCE_COLUMNS,
    SCHEMA_VERSION,
    TERMS,
    Key,
    Row,
    Sample,
    columns_of,
)
from harness.results.text import plain, to_bool, to_float, to_int, to_text

SAMPLES = "samples.jsonl"
ANCHORS = "anchors.jsonl"
SPLITS = "splits.csv"
ERRORS = "errors.csv"
SUMMARY = "summary.json"
ENVIRONMENT = "env.json"
STATUS = "status.json"

_FLOAT_FIELDS = (
    "forecast_ms",
    "predicted_ms",
    "predicted_low_ms",
    "predicted_high_ms",
    "paper_ms",
    "measured_ms",
    "measured_low_ms",
    "measured_high_ms",
    "error",
    "network_measured_ms",
    "other_measured_ms",
)


def write_atomic(path: Path, text: str) -> None:
    """Puts `text` at `path` whole or not at all: a temporary file beside it, fsync, rename.

    No temporary file is left behind, whatever happens short of a kill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 (a descriptor)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp makes it private; results are to be read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """One JSON file with `schema_version` first; NaN and infinities become null."""
    whole = {"schema_version": SCHEMA_VERSION} | plain(dict(record)) | {"schema_version": SCHEMA_VERSION}
    write_atomic(path, json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def csv_text(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a header and Unix line ends, cells spelt as `harness.results.text` says."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([to_text(record.get(name)) for name in columns] for record in records)
    return buffer.getvalue()


class CellWriter:
    """Writes the records of one cell into `folder`, which it makes. Close it, or use it in `with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, IO[str]] = {}

    def samples(self, *samples: Sample) -> None:
        """Appends one line a request to `samples.jsonl` and flushes it: a crash later loses none of them."""
        for sample in samples:
            self._append(SAMPLES, _sample_record(sample))

    def calibration_sample(self, kind: str, name: str, sample: Sample) -> None:
        """Appends one line to `anchors.jsonl`: a request that calibrates a prediction and judges none.

        Args:
            kind: `anchor` or `echo`.
            name: the candidate of an anchor, the payload bytes of an echo.
        """
        self._append(ANCHORS, {"kind": kind, "name": name, **_sample_record(sample)})

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        file = self._open.get(name) or self._open.setdefault(name, self._opened(name))
        with naming(self.folder / name):
            file.write(json.dumps(record, allow_nan=False) + "\n")
            file.flush()

    def _opened(self, name: str) -> IO[str]:
        path = self.folder / name
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        file = path.open("a", encoding="utf-8")
        if torn:  # a line that a crash cut short must not swallow the next one
            file.write("\n")
        return file

    def splits(self, rows: Sequence[Row]) -> None:
        """`splits.csv`, in the order given; with the columns of provenance where anything was replayed."""
        write_atomic(self.folder / SPLITS, csv_text(columns_of(rows), (row.record() for row in rows)))

    def errors(self, records: Iterable[Mapping[str, Any]]) -> None:
        """`errors.csv`, one mapping from `ERROR_COLUMNS` a line, in the order given."""
        write_atomic(self.folder / ERRORS, csv_text(ERROR_COLUMNS, records))

    def lookup(self, found: Lookup) -> None:
        """`lookup.json`: compact, as it holds tens of thousands of numbers that nobody reads."""
        record = {"schema_version": SCHEMA_VERSION, **found.record()}
        write_atomic(self.folder / LOOKUP, json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n")

    def summary(self, record: Mapping[str, Any]) -> None:
        """`summary.json`."""
        write_json(self.folder / SUMMARY, record)

    def environment(self, record: Mapping[str, Any]) -> None:
        """`env.json`."""
        write_json(self.folder / ENVIRONMENT, record)

    def status(self, status: str, *, verdict: str | None = None, error: str = "", exit_code: int = 0) -> None:
        """`status.json`: `ok`, `invalid`, `failed` or `interrupted`, and why."""
        record = {"status": status, "verdict": verdict, "error": error, "exit_code": exit_code}
        write_json(self.folder / STATUS, record)

    def close(self) -> None:
        """Syncs and closes the files that grow; the writer can be used again afterwards."""
        while self._open:
            name, file = self._open.popitem()
            with naming(self.folder / name), file:
                os.fsync(file.fileno())

    def __enter__(self) -> CellWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sample_record(sample: Sample) -> dict[str, Any]:
    """A line of `samples.jsonl`: the key and the terms under the names that `splits.csv` has for them."""
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "candidate": sample.key.candidate,
        "split": sample.key.split,
        "transfer_layer": sample.key.transfer_layer,
        "wire_format": sample.key.wire_format,
        "order": int(sample.order),
        "started_ns": sample.started_ns,
    }
    for term in TERMS:
        value = sample.terms.get(term)
        record[f"{term}_ms"] = None if value is None else float(value)
    return record | {"other_ms": float(sample.other_ms), "total_ms": float(sample.total_ms)}


def _sample(record: dict[str, Any]) -> Sample:
    if record["schema_version"] > SCHEMA_VERSION:
        raise ValueError(f"schema_version {record['schema_version']}, this reader knows {SCHEMA_VERSION}")
    key = Key(record["candidate"], record["split"], record["transfer_layer"], record["wire_format"])
    terms = {term: record[f"{term}_ms"] for term in TERMS if record.get(f"{term}_ms") is not None}
    return Sample(key, record["order"], record["total_ms"], terms, record["other_ms"], record.get("started_ns"))


def read_samples(folder: Path) -> list[Sample]:
    """The requests of `samples.jsonl` in the order written; none where the file is missing.

    A line that a crash cut short is left out. Raises HarnessError for a whole line that is no sample.
    """
    path = Path(folder) / SAMPLES
    if not path.exists():
        return []
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        try:
            record = json.loads(line)
        except ValueError:  # empty, or cut short
            continue
        try:
            samples.append(_sample(record))
        except (KeyError, TypeError, ValueError) as error:
            raise HarnessError(
                f"{path}: line {number} is no sample of schema {SCHEMA_VERSION}: "
                f"{type(error).__name__} {error}; measure the cell again"
            ) from error
    return samples


def _row(record: dict[str, str]) -> Row:
    floats = {name: to_float(record[name]) for name in _FLOAT_FIELDS}

    def values(names: Iterable[tuple[str, str]]) -> dict[str, float]:
        return {name: float(record[column]) for name, column in names if record[column]}

    return Row(
        Key(record["candidate"], to_int(record["split"]), record["transfer_layer"], record["wire_format"]),
        layer=record["layer"],
        scission_cut=to_bool(record["scission_cut"]),
        payload_bytes=to_int(record["payload_bytes"]),
        feasible=to_bool(record["feasible"]) is not False,
        infeasible_because=record["infeasible_because"],
        samples=to_int(record["samples"]),
        predicted_terms=values((term, f"{term}_predicted_ms") for term in TERMS),
        measured_terms=values((term, f"{term}_measured_ms") for term in TERMS),
        equations=values((name, name) for name in EQUATIONS),
        replayed=_names(record.get("replayed")),
        estimated=_names(record.get("estimated")),
        **floats,
    )


def _names(cell: str | None) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else ()


def read_splits(folder: Path) -> list[Row]:
    """The rows of `splits.csv`. Raises HarnessError when it is missing, has other columns, or a bad value."""
    path = Path(folder) / SPLITS
    if not path.exists():
        raise HarnessError(f"{path} does not exist: this cell predicted nothing; run it first")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header not in (COLUMNS, (*COLUMNS, *PROVENANCE_COLUMNS)):
            odd = sorted(set(header) ^ set(COLUMNS)) or ["their order"]
            raise HarnessError(
                f"{path}: not the columns of schema {SCHEMA_VERSION}, different in {', '.join(odd)}; run the cell again"
            )
        rows = []
        for number, line in enumerate(reader, 2):
            try:
                rows.append(_row(dict(zip(header, line, strict=True))))
            except ValueError as error:
                raise HarnessError(f"{path}: line {number}: {error}; run the cell again") from error
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """One JSON record, empty where the file is missing. Raises HarnessError when it cannot be read."""
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HarnessError(f"{path}: not JSON: {error}; run the cell again") from error
    if not isinstance(record, dict):
        raise HarnessError(f"{path}: a {type(record).__name__} where an object belongs; run the cell again")
    return record
