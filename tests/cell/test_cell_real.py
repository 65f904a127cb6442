"""A whole cell as a user runs it: every file, every column, every promise of DESIGN about them."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from statistics import median
from typing import Any

import pytest
import yaml

from harness.prediction.profile_io import load_tier
from harness.results.records import read_samples, read_splits
from harness.results.schema import COLUMNS, EQUATIONS, SCHEMA_VERSION, TIER_TERMS, Key, Row, Sample
from harness.spec import Spec
from tests.runs import Finished

pytestmark = [pytest.mark.link, pytest.mark.tensorflow, pytest.mark.triton]

RATE_MBPS, RTT_MS, SAMPLES, CUTS = 57.0, 28.0, 3, 74
BASELINES = [Key("device-only"), *(Key("edge-only", None, "none", name) for name in ("float32", "uint8", "jpeg"))]
SENT = {"serialize", "uplink", "queue", "deserialize", "edge", "downlink"}


def read(cell: Finished, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((cell.folder / name).read_text())
    assert record["schema_version"] == SCHEMA_VERSION
    return record


@pytest.fixture(scope="module")
def rows(cell: Finished) -> dict[Key, Row]:
    assert (cell.folder / "splits.csv").exists(), cell.errors
    return {row.key: row for row in read_splits(cell.folder)}


@pytest.fixture(scope="module")
def samples(cell: Finished) -> dict[Key, list[Sample]]:
    found: dict[Key, list[Sample]] = defaultdict(list)
    for sample in read_samples(cell.folder):
        found[sample.key].append(sample)
    return dict(found)


def expected_terms(key: Key) -> set[str]:
    if key.candidate == "device-only":
        return {"device"}
    return (
        SENT
        | ({"device"} if key.split else set())
        | ({"device_tl", "edge_tl"} if key.transfer_layer != "none" else set())
    )


# -- the run --------------------------------------------------------------------------------------------


def test_a_run_after_a_killed_one_ends_and_leaves_nothing_behind(cell: Finished) -> None:
    status = read(cell, "status.json")
    assert status["status"] == "ok", cell.errors
    assert {"pass": 0, "fail": 3, "inconclusive": 4}[status["verdict"]] == status["exit_code"] == cell.code
    assert cell.left.processes_after == []
    assert cell.left.namespaces_after == set()
    assert cell.left.interfaces == set()
    assert cell.left.files == set()


def test_a_cell_has_its_files_and_no_others(cell: Finished) -> None:
    records = ("spec.yaml", "env.json", "samples.jsonl", "anchors.jsonl", "summary.json", "status.json")
    tables = ("splits.csv", "errors.csv", "lookup.json", "summary.md", "link.txt")
    shown = ("report.html", "cuts.svg", "cuts.png", "errors.svg", "errors.png", "logs", ".hydra")
    assert {path.name for path in cell.folder.iterdir()} == {*records, *tables, *shown}
    kinds = {"device", "edge", "calibration", "features"}  # and no journal: these profiles are whole
    profiles = [path.name for path in cell.profiles.glob("mobilenetv2-*")]
    assert len(profiles) == len(kinds)
    assert all(any(f"-{kind}-" in name and name.endswith(".json") for name in profiles) for kind in kinds)


def test_both_tiers_profiles_hold_what_the_model_is_and_costs(cell: Finished) -> None:
    for tier in ("device", "edge"):
        (path,) = cell.profiles.glob(f"*-{tier}-*.json")
        profile = load_tier(path)
        assert len(profile.cuts) == CUTS
        assert 0 < profile.call_ms < max(profile.block_ms)
        assert sum(profile.eager_scission_block_ms) > sum(profile.scission_block_ms)
        macs = sum(own.macs for block in profile.block_features for own in block.values())
        assert macs == pytest.approx(300e6, rel=0.01)  # Sandler et al. 2018
        weights = 4 * sum(own.parameters for block in profile.block_features[:-1] for own in block.values())
        assert profile.head_peak_bytes[-1] > weights
        assert list(profile.head_peak_bytes) == sorted(profile.head_peak_bytes)


def test_the_console_shows_the_forecast_and_then_the_comparison(cell: Finished) -> None:
    assert cell.output.index("Forecast: mobilenetv2 on iiot") < cell.output.index("measured")
    assert "device emulated 4 x slower" in cell.output
    assert cell.output.rstrip().splitlines()[-1].startswith("results: ")
    assert "Traceback" not in cell.errors


# -- splits.csv -----------------------------------------------------------------------------------------


def test_every_candidate_is_there_once(cell: Finished, rows: dict[Key, Row]) -> None:
    with (cell.folder / "splits.csv").open() as file:
        table = list(csv.reader(file))
    assert tuple(table[0]) == COLUMNS
    assert len(rows) == len(table) - 1 == 4 + 2 * CUTS
    assert set(BASELINES) <= rows.keys()
    cuts = {
        name: {key.split for key in rows if key.transfer_layer == name and key.split} for name in ("none", "maxpool")
    }
    assert cuts["none"] == cuts["maxpool"]
    assert len(cuts["none"]) == CUTS


def test_every_possible_candidate_is_predicted(rows: dict[Key, Row]) -> None:
    for key, row in rows.items():
        if key.split is not None and row.payload_bytes is None:
            assert not row.feasible
            assert "spatial" in row.infeasible_because
            assert row.forecast_ms is row.predicted_ms is row.paper_ms is None
            continue
        assert row.forecast_ms
        assert row.paper_ms
        assert row.predicted_low_ms <= row.predicted_ms <= row.predicted_high_ms
        assert set(row.predicted_terms) == expected_terms(key)
        assert 0 <= row.predicted_ms - sum(row.predicted_terms.values()) < 0.05 * row.predicted_ms
        assert row.feasible == (key.split is None or key.split >= 5)


def test_the_equations_stand_on_the_maxpool_rows_and_close(rows: dict[Key, Row]) -> None:
    for key, row in rows.items():
        if key.transfer_layer != "maxpool" or row.payload_bytes is None:
            assert not row.equations
            continue
        e_tl, s_tl, c_tl, s_orig, c_orig, delta_t = (row.equations[name] for name in EQUATIONS)
        assert delta_t == pytest.approx((s_orig + c_orig) - (e_tl + s_tl + c_tl))
        assert c_tl == pytest.approx(RTT_MS + row.payload_bytes * 8 / (RATE_MBPS * 1e3))
        plain = rows[Key("split", key.split)]
        assert c_orig == pytest.approx(RTT_MS + plain.payload_bytes * 8 / (RATE_MBPS * 1e3))
        assert delta_t == pytest.approx(plain.paper_ms - row.paper_ms)


def test_what_the_spec_asks_for_is_measured(rows: dict[Key, Row], samples: dict[Key, list[Sample]]) -> None:
    measured = {key for key, row in rows.items() if row.measured_ms is not None}
    assert measured == samples.keys()
    assert measured >= set(BASELINES)
    assert len([key for key in measured if key.transfer_layer == "maxpool"]) >= 12
    for name in ("none", "maxpool"):
        own = [row for key, row in rows.items() if key.split and key.transfer_layer == name and row.feasible]
        assert min(own, key=lambda row: row.forecast_ms).key in measured


def test_measured_columns_are_the_medians_of_the_samples(
    rows: dict[Key, Row], samples: dict[Key, list[Sample]]
) -> None:
    for key, own in samples.items():
        row = rows[key]
        assert row.samples == len(own) == SAMPLES
        assert row.measured_ms == pytest.approx(median(sample.total_ms for sample in own))
        assert row.measured_low_ms <= row.measured_ms <= row.measured_high_ms
        assert row.error == pytest.approx((row.predicted_ms - row.measured_ms) / row.measured_ms)
        assert set(row.measured_terms) == expected_terms(key)
        for term, ms in row.measured_terms.items():
            assert ms == pytest.approx(median(sample.terms[term] for sample in own))


# -- samples --------------------------------------------------------------------------------------------


def test_terms_and_other_are_the_total_of_every_request(samples: dict[Key, list[Sample]]) -> None:
    for key, own in samples.items():
        for sample in own:
            assert set(sample.terms) == expected_terms(key)
            assert min(sample.terms.values()) >= 0
            assert sum(sample.terms.values()) + sample.other_ms == pytest.approx(sample.total_ms, abs=1e-6)
        assert median(sample.other_ms / sample.total_ms for sample in own) < 0.01, key


def test_requests_are_interleaved(samples: dict[Key, list[Sample]]) -> None:
    order = [key for _, key in sorted((sample.order, key) for key, own in samples.items() for sample in own)]
    assert max(Counter(sample.order for own in samples.values() for sample in own).values()) == 1
    size = len(samples)
    rounds = [order[start : start + size] for start in range(0, len(order), size)]
    assert len(rounds) == SAMPLES
    assert all(set(block) == samples.keys() for block in rounds)
    assert rounds[0] != rounds[1]


def test_what_calibrated_the_prediction_is_kept_beside_the_samples(cell: Finished) -> None:
    lines = [json.loads(line) for line in (cell.folder / "anchors.jsonl").read_text().splitlines()]
    counts = Counter((line["kind"], line["name"]) for line in lines)
    assert set(counts.values()) == {SAMPLES}  # and none of the killed run's
    assert {kind for kind, _ in counts} == {"anchor", "echo"}
    anchors = {name for kind, name in counts if kind == "anchor"}
    assert anchors >= {str(key) for key in BASELINES}
    measured = {sample.order for sample in read_samples(cell.folder)}
    assert not measured & {line["order"] for line in lines}


def test_the_uplink_takes_what_the_link_gives(cell: Finished, rows: dict[Key, Row]) -> None:
    spec = Spec.from_yaml((cell.folder / "spec.yaml").read_text())
    bucket_ms = spec.link.burst_bytes * 8 / (RATE_MBPS * 1e3)
    for key, row in rows.items():
        if key.transfer_layer == "maxpool" and row.measured_ms is not None:
            bare_ms = row.payload_bytes * 8 / (RATE_MBPS * 1e3) + RTT_MS / 2
            # The first two frames leave at once; from DenseNet169's smallest payload (41 kB) on, headers outweigh it.
            least_ms = 0.99 * bare_ms - (bucket_ms if row.payload_bytes < 40_000 else 0.0)
            assert least_ms <= row.measured_terms["uplink"] <= 1.10 * bare_ms + 8, key


def test_the_network_is_what_the_tiers_leave(rows: dict[Key, Row], samples: dict[Key, list[Sample]]) -> None:
    for key, own in samples.items():
        inside = [sum(sample.terms.get(term, 0.0) for term in TIER_TERMS) for sample in own]
        network = median(sample.total_ms - ms for sample, ms in zip(own, inside, strict=True))
        if key.candidate == "device-only":
            assert not rows[key].network_measured_ms
        else:
            assert rows[key].network_measured_ms == pytest.approx(network, rel=1e-6)


# -- the other records ----------------------------------------------------------------------------------


def test_spec_yaml_is_the_spec_with_its_units(cell: Finished) -> None:
    text = (cell.folder / "spec.yaml").read_text()
    record = yaml.safe_load(text)
    assert record["schema_version"] == SCHEMA_VERSION
    assert record["units"]["bandwidth"] == "Mbit/s"
    spec = Spec.from_yaml(text)
    assert (spec.model.name, spec.bandwidth, spec.latency) == ("mobilenetv2", RATE_MBPS, RTT_MS)
    assert (spec.hardware.device.slowdown, spec.measure.samples) == (4, SAMPLES)


def test_env_json_says_where_this_was_measured(cell: Finished) -> None:
    record = read(cell, "env.json")
    assert record.keys() >= {
        "host",
        "kernel",
        "cpu",
        "governor",
        "versions",
        "git",
        "server",
        "agent",
        "testbed",
        "link",
    }
    assert {"load_before", "load_after", "relay"} <= record.keys()
    assert "steal" in record["load_before"]["cpu_ticks"]
    assert record["git"].keys() == {"sha", "dirty"}
    assert record["server"] == {"name": "triton", "version": "2.51.0"}
    assert record["versions"]["tensorflow"]
    assert record["testbed"]["congestion_control"] == {"device": "cubic", "edge": "cubic"}
    assert {"qdiscs", "sysctls", "offloads"} <= record["testbed"].keys()
    if record["testbed"]["backend"] == "netem":  # the relay holds the rate itself
        (htb,) = [qdisc for qdisc in record["testbed"]["qdiscs"]["device"] if qdisc["kind"] == "htb"]
        assert htb["rate_bytes_per_s"] == RATE_MBPS * 1e6 / 8
    else:
        assert record["relay"]["up"]["parameters"]["rate_mbps"] == RATE_MBPS
        assert {record["relay"][way]["drops"] for way in ("up", "down")} == {0}
    assert record["link"]["achieved"]["rate_up_mbps"] == pytest.approx(RATE_MBPS, rel=0.03)
    assert record["link"]["achieved"]["rtt_ms"] == pytest.approx(RTT_MS, rel=0.03)


def test_summary_json_has_the_statistics_of_the_design(cell: Finished, rows: dict[Key, Row]) -> None:
    record = read(cell, "summary.json")
    numbers = (
        *("mape", "p95_abs_error", "bias", "forecast_mape", "forecast_p95_abs_error", "forecast_bias"),
        *("kendall_tau", "kendall_tau_aa", "regret", "regret_all", "regret_by_min_split", "drift", "noise_floor"),
        *("paper_mape", "paper_eager_mape", "delta_t_best_ms"),
    )
    assert all(isinstance(record[name], int | float) for name in numbers)
    for name in ("best_predicted", "best_measured"):
        assert Key.parse(record[name]) in rows
    for name in ("speedup_vs_scission", "speedup_vs_device_only", "speedup_vs_edge_only"):
        assert record[name].keys() == {"predicted", "measured"}
    assert record["link"].keys() >= {"requested", "achieved", "backend"}
    assert record["verdict"] in ("pass", "fail", "inconclusive")
    assert (record["emulated"], record["slowdown"], record["unavailable_terms"]) == (True, 4, [])
    assert record["selftest"] is None
    errors = [abs(row.error) for row in rows.values() if row.error is not None]
    assert record["mape"] == pytest.approx(sum(errors) / len(errors))


def test_the_report_shows_figure_table_and_command(cell: Finished) -> None:
    page = (cell.folder / "report.html").read_text()
    for part in ("<svg", "mobilenetv2", "python", "measure.samples=3", "emulated"):
        assert part in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert (cell.folder / "cuts.svg").stat().st_size > 10_000
    assert (cell.folder / "cuts.png").read_bytes().startswith(b"\x89PNG")
