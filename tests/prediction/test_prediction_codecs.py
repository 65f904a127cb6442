"""What transfer layers and wire formats are predicted to cost, for encodings with anchors and without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.prediction.candidates import enumerate_rows
from harness.prediction.codecs import anchored_by_size, timed_alone
from harness.prediction.fitting import fit
from harness.prediction.predictors import Evidence
from harness.prediction.predictors import fit as fit_predictor
from harness.prediction.profile import ModelFeatures, Profiles
from harness.prediction.selection import anchor_keys
from harness.results.schema import Key
from harness.transfer.encoding import RANKED, Encoding
from tests.prediction.synthetic_world import World

DEVICE, EDGE = ("device_tl", "serialize"), ("deserialize", "edge_tl")
#: From a time in a loop to one in a request.
CONSTANT_MS, SLOPE = 0.2, 1.7


def in_loop_ms(key: Key, term: str) -> float:
    """A made-up cost of its own for every term, encoding and cut: no line in anything."""
    return 0.1 + (hash((str(key), term)) % 1000) / 500


def world_with(own: Encoding) -> tuple[World, Profiles]:
    """A world whose profiles have timed `own` too, and whose anchors are in it."""
    world = World(cuts=16)
    made = world.profiles()
    ranked = [*RANKED, own]
    sized = [row.key for row in enumerate_rows(made.device, encodings=ranked, min_split=0) if row.key.split is not None]
    keys = [key for key in sized if Encoding.of(key).infeasible_because(shape(world, key)) is None]

    def timed(terms: tuple[str, ...]) -> dict[str, dict[str, float]]:
        return {str(key): {term: in_loop_ms(key, term) for term in terms} for key in keys}

    device = replace(made.device, codec_ms=made.device.codec_ms | timed(DEVICE))
    # As a profile has them: of formats whose size depends on the content alone.
    packed = [key for key in keys if Encoding.of(key).content_dependent]
    device = replace(device, payload_bytes={str(key): 1_000 + (key.split or 0) for key in packed})
    edge = replace(made.edge, codec_ms=made.edge.codec_ms | timed(EDGE))
    anchors = {text: terms for text, terms in made.calibration.anchors.items() if not text.startswith("split")}
    for key in anchor_keys(device, count=4, encoding=own, avoid=()):
        if key.split is None:
            continue
        terms = {"device": world.head_ms(key.split), "edge": world.tail_ms(key.split)}
        for term in (*DEVICE, *EDGE):
            if key.transfer_layer != "none" or term in ("serialize", "deserialize"):
                terms[term] = CONSTANT_MS + SLOPE * in_loop_ms(key, term)
        anchors[str(key)] = terms
    return world, Profiles(device, edge, replace(made.calibration, anchors=anchors))


def shape(world: World, key: Key) -> tuple[int, ...]:
    return next(cut.shape for cut in world.cut_records if cut.index == key.split)


def predicted(world: World, profiles: Profiles, own: Encoding) -> dict[Key, dict[str, float]]:
    rows = enumerate_rows(profiles.device, encodings=[*RANKED, own], min_split=0)
    table = fit_predictor("calibrated", Evidence(profiles)).predict(world.link, rows).predictions()
    return {key: prediction.terms for key, prediction in table.items()}


def test_a_cut_where_pooling_is_slow_for_its_bytes_is_predicted_so() -> None:
    """Three channels, say, where the processor has a vector instruction for more: no line in bytes knows it."""
    world, own = World(cuts=16), Encoding("maxpool")
    made = world.profiles()
    slow = made.device.cuts[1].index
    assert str(own.key(slow)) not in made.calibration.anchors
    before = predicted(world, made, own)[own.key(slow)]
    timed = dict(made.device.codec_ms)
    alone = timed[str(own.key(slow))]["device_tl"]
    timed[str(own.key(slow))] = {**timed[str(own.key(slow))], "device_tl": alone + 2.0}
    slower = replace(made, device=replace(made.device, codec_ms=timed))
    found = predicted(world, slower, own)
    assert found[own.key(slow)]["device_tl"] > before["device_tl"] + 1.0
    others = made.device.cuts[2].index
    assert found[own.key(others)] == predicted(world, made, own)[own.key(others)]


def test_copying_a_payload_is_a_line_in_its_bytes_through_the_anchors() -> None:
    made = World().profiles()
    for terms in timed_alone(made, made.calibration).values():
        assert set(terms) <= {"device_tl", "edge_tl"}


@pytest.mark.parametrize("own", [Encoding("bottleneck", "uint8+zlib"), Encoding("none", "float16+zstd")], ids=str)
def test_of_all_others_the_profile_s_own_times_are_corrected_as_the_anchors_ask(own: Encoding) -> None:
    world, profiles = world_with(own)
    found = predicted(world, profiles, own)
    for row in enumerate_rows(profiles.device, encodings=[*RANKED, own], min_split=0):
        if row.key.split is None or row.payload_bytes is None:
            continue
        terms = found[row.key]
        for term in (*DEVICE, *EDGE):
            if row.key.transfer_layer == "none" and term not in ("serialize", "deserialize"):
                assert term not in terms
                continue
            in_request = CONSTANT_MS + SLOPE * in_loop_ms(row.key, term)
            if own.transfer_layer != "none" or row.key.transfer_layer == "none":
                assert terms[term] == pytest.approx(in_request, rel=1e-6)
            else:  # no anchor has that term: as the others' typical ratio
                assert 1.0 < terms[term] / in_loop_ms(row.key, term) < 4.0


def test_a_format_without_packing_keeps_its_line() -> None:
    own = Encoding("maxpool", "uint8")
    _, profiles = world_with(own)
    corrected = timed_alone(profiles, profiles.calibration)
    for text, terms in corrected.items():
        assert ("serialize" in terms) == (Encoding.of(Key.parse(text)) != own), text
    assert set(fit(profiles).codec) == {*DEVICE, *EDGE}


def test_a_payload_that_depends_on_its_content_is_as_large_as_the_profile_s() -> None:
    own = Encoding("maxpool", "uint8+zstd")
    _, profiles = world_with(own)
    rows = [row for row in enumerate_rows(profiles.device, encodings=[own], min_split=0) if row.key.split is not None]
    for row in rows:
        assert row.payload_bytes == (profiles.device.payload_bytes.get(str(row.key)) if row.feasible else None)
    assert any(row.feasible for row in rows)
    features = ModelFeatures(
        model="m",
        content="c",
        cuts=profiles.device.cuts,
        last=profiles.device.last,
        input_shape=profiles.device.input_shape,
        picture_bytes=profiles.device.picture_bytes,
        head_peak_bytes=profiles.device.head_peak_bytes,
        block_features=profiles.device.block_features,
    )
    for row in enumerate_rows(features, encodings=[own], min_split=0):
        if row.key.split is not None:
            assert not row.feasible
            assert "profile of the device" in row.infeasible_because or "no spatial axes" in row.infeasible_because


def test_what_cannot_stand_at_a_cut_says_which_part_of_it_cannot() -> None:
    made = World().profiles()
    last = made.device.cuts[-1].index  # after the global pooling
    encodings = [Encoding("maxpool"), Encoding("none", "uint8+jpeg"), Encoding("none", "uint8")]
    rows = {
        Encoding.of(row.key): row
        for row in enumerate_rows(made.device, encodings=encodings, min_split=0)
        if row.key.split == last
    }
    assert "max pooling needs" in rows[encodings[0]].infeasible_because
    assert "JPEG tiles need" in rows[encodings[1]].infeasible_because
    assert rows[encodings[2]].payload_bytes == 40 + 5


def test_where_a_message_writes_numbers_size_and_cost_are_the_profiles_own() -> None:
    """As JSON a float32 payload has no size by formula: the profile's counts, and its own time of each cut."""
    own = Encoding("avgpool")
    _, made = world_with(own)
    sizes = {text: 1000 + number for number, text in enumerate(made.device.codec_ms) if text.startswith("split/")}
    sized = replace(made, device=replace(made.device, payload_bytes=sizes))
    rows = enumerate_rows(sized.device, encodings=[*RANKED, own], min_split=0)
    assert {row.payload_bytes for row in rows if str(row.key) in sizes} == set(sizes.values())
    assert anchored_by_size(sized, sized.calibration) == {}
    known = timed_alone(sized, sized.calibration)
    assert known.keys() == sizes.keys()
    assert all("serialize" in terms for terms in known.values())
