"""Wire formats of what crosses a cut: labels, round trips, sizes, and payloads that are none."""

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from omegaconf import OmegaConf

from harness.dnn.inputs import photograph
from harness.errors import SpecError
from harness.spec.transfer import WireFormat as Section
from harness.transfer import entropy, wire
from harness.transfer.numeric import STEPS, UInt8
from harness.transfer.wire import FORCED, WireFormatError

CONF = Path(__file__).parents[2] / "conf" / "wire_format"
NUMERIC = ("float32", "float16", "uint8", "uint8:percentile=99.9")
PACKED = ("", "+zlib", "+zlib:level=9", "+zstd", "+zstd:level=19")
RAW = st.sampled_from(NUMERIC)
ANY = st.sampled_from(
    [own + packed for own in NUMERIC for packed in PACKED] + ["uint8+jpeg", "uint8:percentile=98+jpeg:quality=60"]
)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=7).map(lambda shape: (1, *shape))
FINITE = st.floats(-(2.0**99), 2.0**99, width=32)
SPATIAL = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 9))


def tensors(shapes=SHAPES):
    return hnp.arrays(np.float32, shapes, elements=FINITE)


def features(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Like a feature map behind a ReLU: smooth, many zeros."""
    picture = photograph((shape[1], shape[2], 3)).astype(np.float32) / 128 - 1
    weights = np.random.default_rng(seed).standard_normal((3, shape[3])).astype(np.float32)
    return np.maximum(picture @ weights, 0)


# -- labels ---------------------------------------------------------------------------------------------


@given(ANY, st.booleans())
def test_a_label_gives_the_very_format_back(label, forced):
    own = wire.get(label)
    if own.content_dependent and forced:
        assert wire.get(label + FORCED).forced
        assert wire.get(label + FORCED).label == own.label + FORCED
        own = wire.get(label + FORCED)
    assert wire.get(own.label) == own
    assert not set(own.label) & set("/ \"'")


@pytest.mark.parametrize(
    ("section", "label"),
    [
        ({"name": "float32"}, "float32"),
        ({"name": "uint8", "percentile": 100.0, "entropy": "none"}, "uint8"),
        ({"name": "uint8", "percentile": 99.9, "entropy": "zlib"}, "uint8:percentile=99.9+zlib"),
        (
            {"name": "uint8", "percentile": 99.0, "entropy": "jpeg", "quality": 75},
            "uint8:percentile=99+jpeg:quality=75",
        ),
        ({"name": "uint8", "entropy": "jpeg", "quality": 90}, "uint8+jpeg"),
        ({"name": "float16", "entropy": "zstd", "level": 3}, "float16+zstd"),
        ({"name": "float16", "entropy": "zstd", "level": 12}, "float16+zstd:level=12"),
    ],
)
def test_what_a_spec_says_as_a_label(section, label):
    assert wire.get(Section(**section).text).label == label


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("float23", "did you mean 'float32'"),
        ("jpeg", "allowed: float32, float16, uint8"),
        ("uint8+zlb", "did you mean 'zlib'"),
        ("float32+jpeg", "JPEG packs bytes, not float32"),
        ("uint8+zlib+zstd", "allowed: NUMERIC or NUMERIC.ENTROPY"),
        ("uint8+none:level=3", "no parameter 'level'; allowed: none"),
        ("uint8+zlib:quality=3", "no parameter 'quality'; allowed: level"),
        ("uint8+zlib:level=10", "level=10 is not allowed; allowed: a whole number from 1 to 9"),
        ("uint8+zstd:level=23", "from 1 to 22"),
        ("uint8+jpeg:quality=96", "from 1 to 95"),
        ("uint8:percentile=50", "above 50 to 100"),
        ("uint8:percentile=wide", "above 50 to 100"),
        ("float16:percentile=99", "no parameter 'percentile'"),
        ("uint8" + FORCED, "marks entropy-coded payloads alone"),
        ("", "not a label"),
    ],
)
def test_a_label_that_is_wrong_is_one_line(label, message):
    with pytest.raises(SpecError, match=message) as caught:
        wire.get(label)
    assert "\n" not in str(caught.value)


def test_every_numeric_stage_has_a_yaml_and_jpeg_one_for_short():
    configs = {file.stem: OmegaConf.to_container(OmegaConf.load(file)) for file in CONF.glob("*.yaml")}
    assert set(configs) == {*wire.numeric_names(), "jpeg"}
    labels = {stem: wire.get(Section.model_validate(config).text).label for stem, config in configs.items()}
    assert labels == {**{name: name for name in wire.numeric_names()}, "jpeg": "uint8+jpeg"}
    assert wire.entropy_names() == ("none", "zlib", "zstd", "jpeg")


# -- round trips ----------------------------------------------------------------------------------------


@given(st.sampled_from(PACKED), tensors())
def test_float32_gives_back_the_very_array_however_it_is_packed(packed, array):
    form = wire.get("float32" + packed)
    again = form.deserialize(memoryview(form.serialize(array)), array.shape)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, array)


@given(st.sampled_from(PACKED), tensors())
def test_float16_is_the_nearest_half_and_never_infinite(packed, array):
    form = wire.get("float16" + packed)
    again = form.deserialize(form.serialize(array), array.shape)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, np.clip(array, -65504, 65504).astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(form.deserialize(form.serialize(again), array.shape), again)


@given(st.sampled_from(PACKED), tensors())
def test_uint8_is_off_by_half_a_step_at_most_and_keeps_zeros(packed, array):
    form = wire.get("uint8" + packed)
    again = form.deserialize(form.serialize(array), array.shape)
    assert again.dtype == np.float32
    width = float(max(array.max(), 0)) - float(min(array.min(), 0))
    assert np.abs(again.astype(float) - array).max() <= 0.5001 * width / STEPS + 1e-29
    assert (again[array == 0] == 0).all()


@given(tensors(SPATIAL.map(lambda shape: (1, *shape))), st.floats(50.1, 100))
def test_a_percentile_clips_what_lies_beyond_and_nothing_else(array, percentile):
    form = wire.get(f"uint8:percentile={percentile!r}") if percentile < 100 else wire.get("uint8")
    again = form.deserialize(form.serialize(array), array.shape)
    ordered = np.sort(array, axis=None).astype(float)
    beyond = int((100 - percentile) / 100 * (array.size - 1))
    low, high = min(ordered[beyond], 0.0), max(ordered[-1 - beyond], 0.0)
    step = (high - low) / STEPS
    assert np.abs(again.astype(float) - np.clip(array, low, high)).max() <= 0.501 * step + 3e-28  # the narrowest range


@given(RAW, tensors())
def test_payloads_of_raw_numbers_have_the_size_that_is_said(label, array):
    form = wire.get(label)
    assert len(form.serialize(array)) == form.payload_bytes(array.shape)


def test_what_packing_saves_is_seen_in_the_payload_alone():
    array = features((1, 32, 32, 16))
    sizes = {
        label: len(wire.get(label).serialize(array)) for label in ("uint8", "uint8+zlib", "uint8+zstd", "uint8+jpeg")
    }
    assert all(sizes[label] < sizes["uint8"] for label in sizes if label != "uint8")
    assert all(wire.get(label).payload_bytes(array.shape) is None for label in sizes if label != "uint8")
    forced = wire.get("uint8+zlib" + FORCED)
    assert forced.serialize(array) == wire.get("uint8+zlib").serialize(array)


def test_the_range_travels_with_the_payload():
    form = wire.get("uint8")
    array = np.array([[-1.0, 0.0, 4.1]], np.float32)
    scale, zero = struct.unpack("<fB", form.serialize(array)[:5])
    assert scale == pytest.approx(0.02)
    assert zero == 50
    assert form.payload_bytes(array.shape) == 5 + 3


def test_a_view_that_is_not_contiguous_is_written_in_order():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    for label in ("float32", "float32+zlib", "float32+zstd"):
        form = wire.get(label)
        np.testing.assert_array_equal(form.deserialize(form.serialize(array), array.shape), array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("label", ["uint8", "uint8:percentile=90"])
def test_what_no_byte_can_hold_is_a_typed_error(label, value):
    array = np.ones((1, 4, 4, 2), np.float32)
    array[0, 1, 1, 0] = value
    with pytest.raises(WireFormatError, match="not finite"):
        wire.get(label).serialize(array)


def test_an_array_of_another_type_is_a_typed_error():
    with pytest.raises(WireFormatError, match="float64; allowed: float32"):
        wire.get("uint8").serialize(np.zeros((1, 3)))


# -- JPEG tiles -----------------------------------------------------------------------------------------


@given(SPATIAL, st.integers(0, 9))
def test_tiles_hold_each_channel_in_whole_blocks(shape, seed):
    channels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    picture = entropy.tiled(channels)
    assert picture.shape[0] % 8 == picture.shape[1] % 8 == 0
    np.testing.assert_array_equal(entropy.untiled(picture, shape), channels)


def test_jpeg_tiles_come_near_and_nearer_with_quality():
    array = features((1, 30, 30, 10))
    errors, sizes = [], []
    for quality in (30, 60, 90):
        form = wire.get(f"uint8+jpeg:quality={quality}")
        payload = form.serialize(array)
        sizes.append(len(payload))
        errors.append(float(np.abs(form.deserialize(payload, array.shape) - array).mean()))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * array.max()


def test_jpeg_needs_a_feature_map():
    form = wire.get("uint8+jpeg")
    assert "no spatial axes" in (form.infeasible_because((40,)) or "")
    assert "longer than JPEG's" in (form.infeasible_because((40_000, 8, 9)) or "")
    assert form.infeasible_because((7, 7, 512)) is None
    assert wire.get("uint8+zlib").infeasible_because((40,)) is None
    with pytest.raises(WireFormatError, match="allowed: uint8"):
        form.serialize(np.zeros((1, 40), np.float32))


# -- payloads that are none -----------------------------------------------------------------------------

SHAPE = (1, 6, 5, 4)


@given(ANY, st.binary(max_size=600))
def test_bytes_that_are_no_payload_are_a_typed_error_or_an_array_of_the_shape(label, payload):
    with contextlib.suppress(WireFormatError):
        assert wire.get(label).deserialize(payload, SHAPE).shape == SHAPE


@given(ANY, st.data())
def test_a_damaged_payload_is_a_typed_error_or_an_array_of_the_shape(label, data):
    form = wire.get(label)
    payload = bytearray(form.serialize(features(SHAPE)))
    cut = data.draw(st.integers(0, len(payload)))
    for _ in range(data.draw(st.integers(0, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireFormatError):
        again = form.deserialize(bytes(payload[:cut]), SHAPE)
        assert again.shape == SHAPE
        assert again.dtype == np.float32


@given(ANY, st.data())
def test_a_payload_cut_short_or_with_more_behind_it_is_a_typed_error(label, data):
    form = wire.get(label)
    payload = form.serialize(features(SHAPE))
    length = data.draw(st.integers(0, len(payload) - 3))  # the last two bytes of a JPEG say nothing but that it ends
    with pytest.raises(WireFormatError) as caught:
        form.deserialize(payload[:length], SHAPE)
    assert "\n" not in str(caught.value)
    if "jpeg" not in label:
        with pytest.raises(WireFormatError):
            form.deserialize(payload + b"\0", SHAPE)


@pytest.mark.parametrize("packed", ["+zlib", "+zstd"])
def test_a_bomb_is_refused_before_it_is_unpacked(packed):
    bomb = wire.get("float32" + packed).serialize(np.zeros((1, 30_000_000), np.float32))
    assert len(bomb) < 200_000
    with pytest.raises(WireFormatError, match="not exactly 480 bytes"):
        wire.get("float32" + packed).deserialize(bomb, SHAPE)


def test_a_scale_that_is_none_is_a_typed_error():
    payload = bytearray(UInt8.header_bytes + 120)
    with pytest.raises(WireFormatError, match=r"scale of 0\.0"):
        wire.get("uint8").deserialize(payload, SHAPE)
