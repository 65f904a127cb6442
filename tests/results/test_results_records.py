from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.results import records
from harness.results.schema import COLUMNS, EQUATIONS, SCHEMA_VERSION, TERMS, Key, Row, Sample

GOLDEN = Path(__file__).parent / "golden_splits.csv"

numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
keys = st.one_of(
    st.just(Key("device-only")),
    st.builds(Key, st.just("edge-only"), st.none(), st.just("none"), st.sampled_from(["float32", "jpeg"])),
    st.builds(Key, st.just("split"), st.integers(0, 999), st.sampled_from(["none", "maxpool"])),
    st.builds(
        Key,
        st.just("split"),
        st.integers(0, 999),
        st.sampled_from(["maxpool:pool=3,interpolation=bilinear", "bottleneck:ratio=8"]),
        st.sampled_from(["uint8", "uint8:percentile=99.9+jpeg:quality=75!random"]),
    ),
)
rows = st.builds(
    Row,
    keys,
    layer=words,
    scission_cut=st.none() | st.booleans(),
    payload_bytes=st.none() | st.integers(0, 10**9),
    feasible=st.booleans(),
    infeasible_because=words,
    forecast_ms=st.none() | numbers,
    predicted_ms=st.none() | numbers,
    measured_ms=st.none() | numbers,
    samples=st.none() | st.integers(0, 99),
    error=st.none() | numbers,
    predicted_terms=st.dictionaries(st.sampled_from(TERMS), numbers),
    measured_terms=st.dictionaries(st.sampled_from(TERMS), numbers),
    equations=st.dictionaries(st.sampled_from(EQUATIONS), numbers),
)
samples = st.builds(
    Sample, keys, st.integers(0, 9999), numbers, st.dictionaries(st.sampled_from(TERMS), numbers), numbers
)

SAMPLE = Sample(Key("split", 51, "maxpool"), 3, 100.0, {"device": 60.5, "uplink": 39.0}, 0.5)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(st.lists(rows, max_size=5))
@settings(max_examples=40, deadline=None)
def test_rows_come_back_as_they_were(written: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        records.CellWriter(Path(folder)).splits(written)
        assert records.read_splits(Path(folder)) == written
        assert names(Path(folder)) == ["splits.csv"]


@given(st.lists(samples, max_size=8), st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_samples_come_back_as_they_were_over_two_writers(written: list[Sample], cut: int) -> None:
    with TemporaryDirectory() as folder:
        for part in (written[:cut], written[cut:]):
            with records.CellWriter(Path(folder)) as writer:
                for sample in part:
                    writer.samples(sample)
        assert records.read_samples(Path(folder)) == written


def golden_rows() -> list[Row]:
    split = Row(
        Key("split", 51, "maxpool"),
        layer="pool2_conv",
        scission_cut=True,
        payload_bytes=100352,
        forecast_ms=np.float64(200.1),
        predicted_ms=199.30000000000001,
        measured_ms=201.0,
        samples=np.int64(10),
        error=-0.008457711442786,
        predicted_terms={"device": 110.0},
        measured_terms={"device": 111.25, "uplink": 29.5},
        network_measured_ms=45.0,
        equations={"delta_t_ms": 41.5},
    )
    impossible = Row(Key("split", 594, "maxpool"), layer="avg_pool", feasible=False)
    impossible.infeasible_because = "no spatial axes, shape (None, 1664)"
    return [Row(Key("device-only"), predicted_ms=float("nan")), split, impossible]


def test_the_format_of_splits_csv(tmp_path: Path) -> None:
    records.CellWriter(tmp_path).splits(golden_rows())
    assert (tmp_path / "splits.csv").read_bytes() == GOLDEN.read_bytes()
    with GOLDEN.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert lines[1]["scission_cut"] == "true"
    assert lines[2]["feasible"] == "false"
    assert lines[0]["predicted_ms"] == lines[0]["split"] == ""


def test_a_line_of_samples_has_the_names_of_the_columns(tmp_path: Path) -> None:
    records.CellWriter(tmp_path).samples(SAMPLE)
    line = json.loads((tmp_path / "samples.jsonl").read_text())
    assert line["schema_version"] == SCHEMA_VERSION
    assert (line["candidate"], line["split"], line["transfer_layer"]) == ("split", 51, "maxpool")
    assert (line["order"], line["total_ms"], line["device_ms"], line["other_ms"]) == (3, 100.0, 60.5, 0.5)
    assert {f"{term}_ms" for term in TERMS} <= set(line)
    assert line["edge_ms"] is None


def test_samples_are_on_disk_before_the_writer_is_closed(tmp_path: Path) -> None:
    writer = records.CellWriter(tmp_path)
    writer.samples(SAMPLE)
    writer.samples(replace(SAMPLE, order=4), replace(SAMPLE, order=5))
    assert [each.order for each in records.read_samples(tmp_path)] == [3, 4, 5]
    writer.close()


@given(st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_a_torn_last_line_costs_only_itself(cut: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with records.CellWriter(folder) as writer:
            writer.samples(SAMPLE, replace(SAMPLE, order=4))
        path = folder / "samples.jsonl"
        whole = path.read_bytes()
        length = len(whole) // 2
        path.write_bytes(whole[: -min(cut, length - 1)])
        survived = records.read_samples(folder)
        assert survived[0] == SAMPLE
        with records.CellWriter(folder) as writer:  # a run that goes on in the same folder
            writer.samples(replace(SAMPLE, order=9))
        assert records.read_samples(folder) == [*survived, replace(SAMPLE, order=9)]


def test_a_whole_line_that_is_no_sample_is_named(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text('{"schema_version": 1, "candidate": "split"}\n')
    with pytest.raises(HarnessError, match="line 1 is no sample of schema 1"):
        records.read_samples(tmp_path)
    (tmp_path / "samples.jsonl").write_text('{"schema_version": 99}\n')
    with pytest.raises(HarnessError, match="schema_version 99, this reader knows"):
        records.read_samples(tmp_path)


def test_json_records_carry_the_version_and_no_nan(tmp_path: Path) -> None:
    writer = records.CellWriter(tmp_path)
    writer.summary({"mape": np.float64(0.5), "bias": float("nan"), "nested": {"values": np.arange(2)}})
    writer.environment({"folder": tmp_path, "flags": (True, None)})
    writer.status("failed", error="it broke", exit_code=1)
    assert records.read_json(tmp_path / "summary.json") == {
        "schema_version": SCHEMA_VERSION,
        "mape": 0.5,
        "bias": None,
        "nested": {"values": [0, 1]},
    }
    assert records.read_json(tmp_path / "env.json")["folder"] == str(tmp_path)
    assert records.read_json(tmp_path / "status.json")["verdict"] is None
    assert names(tmp_path) == ["env.json", "status.json", "summary.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = records.CellWriter(tmp_path)
    writer.summary({"mape": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        writer.summary({"mape": 2})
    assert records.read_json(tmp_path / "summary.json")["mape"] == 1
    assert names(tmp_path) == ["summary.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "not the columns of schema 1"),
        (",".join(COLUMNS) + "\nsplit,x" + "," * (len(COLUMNS) - 2) + "\n", "line 2: invalid literal"),
        (",".join(COLUMNS) + "\nsplit,4\n", "line 2"),
        ("", "not the columns"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(HarnessError, match=message):
        records.read_splits(tmp_path)


def test_no_table_says_what_to_do(tmp_path: Path) -> None:
    assert records.read_samples(tmp_path) == []
    with pytest.raises(HarnessError, match="does not exist"):
        records.read_splits(tmp_path)
