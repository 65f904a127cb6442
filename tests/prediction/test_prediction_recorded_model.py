"""Recorded hardware: pairs of recordings, and the golden answers of the authors' own tool."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest

from harness.errors import SpecError
from harness.prediction.recorded_model import (
    RecordedModel,
    contradictions,
    estimates,
    recorded_equations,
    recorded_rows,
)
from harness.prediction.recorded_pair import RecordedPair, load_pair
from harness.results.schema import Key, Row
from netem.link import LinkSpec
from tests.prediction.recordings import MODELS, block, recorded, toy_folder, toy_tier, write

PICTURE = (224, 224, 3)


def pair(folder: Path, model: str, device: str, edge: str | None, runtime: str = "tf_eager") -> RecordedPair:
    return load_pair(folder, model, device=device, edge=edge, runtime=runtime)


def link(mbps: float, ping_ms: float) -> LinkSpec:
    return LinkSpec(rate_up_mbps=mbps, rate_down_mbps=1000, delay_up_ms=ping_ms / 2, delay_down_ms=ping_ms / 2)


def predicted(own: RecordedPair, over: LinkSpec, min_split: int = 0, slowdown: float = 1.0) -> list[Row]:
    rows = recorded_rows(own, input_shape=PICTURE, min_split=min_split)
    found = RecordedModel(own).predict(over, rows, slowdown=slowdown).predictions()
    for row in rows:
        if row.key in found:
            row.predicted_ms, row.predicted_terms = found[row.key].total_ms, found[row.key].terms
    return rows


# -- the authors' answers ----------------------------------------------------------------------------------------


@pytest.mark.recorded
@pytest.mark.parametrize("edge", ["ampere", "titan_cpu"])
@pytest.mark.parametrize("model", ["densenet169", "resnet101"])
def test_every_answer_of_the_authors_tool_comes_out_to_its_rounding(model: str, edge: str) -> None:
    with recorded("network_stats.csv").open() as file:
        (network,) = [line for line in csv.DictReader(file) if line["destination"] == edge]
    over = link(float(network["bandwidth(Mbps)"]), float(network["ping(ms)"]))
    rows = {row.key: row for row in predicted(pair(recorded(), model, "tx2_gpu", edge), over)}
    with recorded(f"expected/{model}-tx2_gpu-{edge}.csv").open() as file:
        answers = list(csv.DictReader(file))
    for answer in answers:
        row = rows.pop(Key("split", int(answer["device_last_layer"]), "maxpool"))
        if float(answer["latency_s"]) > 1000:  # four terms of 1000 s each: an impossible transfer layer
            assert (row.feasible, row.predicted_ms, row.payload_bytes) == (False, None, None)
            assert row.infeasible_because
        else:
            assert row.feasible
            assert round(row.predicted_ms / 1e3, 4) == pytest.approx(float(answer["latency_s"]), abs=1e-9)
            assert round(row.payload_bytes / 1e6, 4) == pytest.approx(float(answer["upload_mb"]), abs=1e-9)
    assert not [key for key in rows if key.transfer_layer == "maxpool"]


@pytest.mark.recorded
def test_what_the_released_data_say_of_densenet169() -> None:
    """As the notes beside the data have it, at 57 Mbit/s and 28 ms with an eager edge and a minimum split of 5."""
    rows = predicted(pair(recorded(), "densenet169", "tx2_gpu", "ampere"), link(57, 28), 5)
    best = {
        name: min(
            (row for row in rows if row.feasible and row.key.split and row.key.transfer_layer == name),
            key=lambda row: row.predicted_ms or math.inf,
        )
        for name in ("none", "maxpool")
    }
    assert {name: row.key.split for name, row in best.items()} == {"none": 139, "maxpool": 51}
    by_key = {row.key: row.predicted_ms for row in rows if row.predicted_ms is not None}
    gains = {
        key.split: by_key[Key("split", key.split, "none")] / ms
        for key, ms in by_key.items()
        if key.transfer_layer == "maxpool"
    }
    assert max(gains, key=lambda split: gains[split]) == 5
    assert gains[5] == pytest.approx(2.55, abs=0.005)


@pytest.mark.recorded
@pytest.mark.parametrize("edge", ["ampere", "titan_cpu"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_ranked_on_every_whole_recording(model: str, edge: str) -> None:
    rows = predicted(pair(recorded(), model, "tx2_gpu", edge), link(57, 28))
    assert len({row.key for row in rows}) == len(rows) > 8
    for row in rows:
        assert (row.predicted_ms is not None) == (row.payload_bytes is not None or row.key.candidate == "device-only")
        assert row.predicted_ms is None or 0 < row.predicted_ms < math.inf


@pytest.mark.recorded
def test_triton_suffixes_with_their_outlier() -> None:
    own = pair(recorded(), "densenet169", "tx2_cpu", "ampere", "triton")
    rows = predicted(own, link(60, 27.4))
    splits = sorted({row.key.split for row in rows if row.key.split is not None})
    assert len(splits) == 20
    assert all(row.feasible and row.predicted_ms for row in rows)
    edge_ms = {row.key.split: row.predicted_terms["edge"] for row in rows if row.key.transfer_layer == "maxpool"}
    assert edge_ms[50] == pytest.approx(13.861)
    assert ("layers after 50", "layers after 51") in [(flag.longer, flag.shorter) for flag in contradictions(own)]
    methods = {estimate.terms: estimate for estimate in estimates(own, rows)}
    assert len(methods["deserialize", "edge_tl"].candidates) == 20
    assert "tf_eager" not in own.device.file


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("model", "device", "edge", "runtime", "parts"),
    [
        ("vgg16", "tx2_gpu", "ampere", "triton", ["vgg16 on ampere under triton", "edge-ampere-densenet169.dat"]),
        ("densenet169", "tx2_gpu", "titan_cpu", "triton", ["densenet169 on titan_cpu under triton"]),
        ("vgg16", "tx2_cpu", None, "tf_eager", ["vgg16 on tx2_cpu", "device-tx2_cpu-densenet169.dat"]),
        ("vgg61", "tx2_gpu", "ampere", "tf_eager", ["vgg61 on tx2_gpu", "vgg16"]),
        ("densenet169", "tx2_gpu", None, "triton", ["has no edge"]),
    ],
)
def test_what_nobody_recorded_is_one_line(
    model: str, device: str, edge: str | None, runtime: str, parts: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        pair(recorded(), model, device, edge, runtime)
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


# -- toy recordings: every term by hand ----------------------------------------------------------------------------


def test_every_term_by_hand(tmp_path: Path) -> None:
    own = pair(toy_folder(tmp_path), "vgg16", "tx2_gpu", "ampere")
    rows = {row.key: row for row in predicted(own, link(8, 10), slowdown=2)}
    split = rows[Key("split", 2, "maxpool")]
    assert split.payload_bytes == 20_128
    assert split.predicted_terms == pytest.approx(
        {
            "device": 2 * 10,
            "device_tl": 2 * 1,
            "serialize": 2 * 0.5,
            "uplink": 10 + 20.128,
            "deserialize": 0.5,
            "edge_tl": 2,
            "edge": 2 + 3 + 0.1,
        }
    )
    assert split.predicted_ms == pytest.approx(sum(split.predicted_terms.values()))
    plain = rows[Key("split", 2, "none")]
    assert plain.predicted_terms == pytest.approx({"device": 20, "uplink": 10 + 80.128, "edge": 5.1})
    assert rows[Key("device-only")].predicted_terms == pytest.approx({"device": 2 * 61})
    whole = rows[Key("edge-only", None, "none", "uint8")]
    assert whole.predicted_terms == pytest.approx({"uplink": 10 + (math.prod(PICTURE) + 128) / 1e3, "edge": 6.1})
    assert recorded_equations(list(rows.values()))[split.key] == pytest.approx(
        {"e_tl_ms": 4, "s_tl_ms": 1.5, "c_tl_ms": 30.128, "c_orig_ms": 90.128}
    )


def test_the_last_layer_is_no_split_and_the_flat_one_has_no_transfer_layer(tmp_path: Path) -> None:
    rows = predicted(pair(toy_folder(tmp_path), "vgg16", "tx2_gpu", "ampere"), link(8, 10))
    assert [row.key.split for row in rows if row.key.split is not None] == [2, 2, 7, 7, 8, 8]
    flat = {row.key.transfer_layer: row for row in rows if row.key.split == 8}
    assert (flat["maxpool"].feasible, flat["maxpool"].predicted_ms) == (False, None)
    assert flat["none"].predicted_ms is not None


def test_without_an_edge_the_device_is_the_one_candidate(tmp_path: Path) -> None:
    own = pair(toy_folder(tmp_path), "vgg16", "tx2_gpu", None)
    (row,) = predicted(own, link(8, 10))
    assert (row.key, row.predicted_ms) == (Key("device-only"), pytest.approx(61))
    assert estimates(own, [row]) == []


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    own = pair(toy_folder(tmp_path), "vgg16", "tx2_gpu", "ampere")
    rows = predicted(own, link(8, 10))
    (left_out,) = estimates(own, rows)
    assert {key.transfer_layer for key in left_out.candidates} == {"none"}
    assert Key("device-only") not in left_out.candidates
    assert "S_Orig" in left_out.method


def test_a_grid_of_links_is_the_same_link_by_link(tmp_path: Path) -> None:
    own = pair(toy_folder(tmp_path), "vgg16", "tx2_gpu", "ampere")
    rows, model = recorded_rows(own, input_shape=PICTURE, min_split=0), RecordedModel(own)

    class Grid:
        rate_up_mbps = np.array([8.0, 57.0])
        rate_down_mbps = 1000.0
        delay_up_ms = delay_down_ms = np.array([5.0, 14.0])
        rtt_ms = np.array([10.0, 28.0])

    many = model.predict(Grid(), rows)  # type: ignore[arg-type]
    for place, one in enumerate((link(8, 10), link(57, 28))):
        np.testing.assert_allclose(many.total_ms[:, place], model.predict(one, rows).total_ms)


def test_recordings_that_do_not_fit_together_are_one_line(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path)
    write(folder / "edge-gap.dat", [block("vgg16", 0, 2, 0.1), block("vgg16", 4, 7, 0.1)])
    write(folder / "edge-other.dat", [block("vgg16", 0, 3, 0.1), block("vgg16", 4, 9, 0.1)])
    write(folder / "triton" / "edge-ampere-vgg16.dat", [block("vgg16", 3, 9, 0.1), block("vgg16", 8, 8, 0.1)])
    toy_tier(folder / "device-alien.dat", "resnet50")
    for device, edge, runtime, why in (
        ("tx2_gpu", "gap", "tf_eager", "starts at layer 4, due is 3"),
        ("tx2_gpu", "other", "tf_eager", "do not fit together"),
        ("tx2_gpu", "ampere", "triton", "end at layers 8, 9, due is one"),
        ("alien", "ampere", "tf_eager", "nobody recorded vgg16 on alien: device-alien.dat holds resnet50"),
    ):
        with pytest.raises(SpecError, match=re.escape(why)) as caught:
            pair(folder, "vgg16", device, edge, runtime)
        assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match=r"hardware\.profiles: no folder at"):
        pair(tmp_path / "nowhere", "vgg16", "tx2_gpu", "ampere")
