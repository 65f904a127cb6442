"""How a picture is sent to a whole model on the edge: round trips, sizes, and payloads that are none."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from harness.dnn.inputs import photograph
from harness.errors import SpecError
from harness.transfer import pictures
from harness.transfer.payload import WireFormatError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=7)
SHAPE = (1, 48, 64, 3)


@given(st.sampled_from(["float32", "uint8"]), st.data())
def test_raw_formats_give_back_the_very_array(name, data):
    form = pictures.get(name)
    array = data.draw(hnp.arrays(form.dtype, SHAPES))
    payload = form.serialize(array)
    assert len(payload) == form.payload_bytes(array.shape)
    again = form.deserialize(memoryview(payload), array.shape)
    assert again.dtype == form.dtype
    assert again.tobytes() == array.tobytes()  # bytes, so that NaN counts too


@given(st.sampled_from(["float32", "uint8"]), st.binary(max_size=200), SHAPES)
def test_a_payload_of_the_wrong_length_is_a_typed_error(name, payload, shape):
    form = pictures.get(name)
    if len(payload) == form.payload_bytes(shape):
        assert form.deserialize(payload, shape).shape == shape
    else:
        with pytest.raises(WireFormatError, match=f"got {len(payload)} bytes"):
            form.deserialize(payload, shape)


def test_jpeg_of_a_photograph_is_small_and_near():
    picture = photograph(SHAPE[1:])
    sizes = []
    for quality in (20, 50, 90):
        form = pictures.Jpeg(quality)
        payload = form.serialize(picture)
        again = form.deserialize(payload, picture.shape)
        assert again.shape == picture.shape
        assert again.dtype == np.uint8
        sizes.append(len(payload))
    assert sizes == sorted(sizes)
    assert sizes[-1] < picture.size
    assert np.abs(again.astype(int) - picture).mean() < 8
    assert pictures.get("jpeg").payload_bytes(picture.shape) is None
    assert len(pictures.get("jpeg").serialize(picture)) == sizes[-1]  # of quality 90


@given(st.binary(max_size=300))
def test_bytes_that_are_no_jpeg_are_a_typed_error(payload):
    with pytest.raises(WireFormatError):
        pictures.get("jpeg").deserialize(payload, SHAPE)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_jpeg_decodes_or_is_a_typed_error_never_anything_else(data):
    payload = bytearray(pictures.get("jpeg").serialize(photograph(SHAPE[1:])))
    cut = data.draw(st.integers(0, len(payload)))
    for _ in range(data.draw(st.integers(0, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireFormatError):
        assert pictures.get("jpeg").deserialize(bytes(payload[:cut]), SHAPE).shape == SHAPE


def test_every_truncation_of_a_jpeg_is_refused():
    payload = pictures.get("jpeg").serialize(photograph(SHAPE[1:]))
    for length in range(0, len(payload) - 2, 7):
        with pytest.raises(WireFormatError):
            pictures.get("jpeg").deserialize(payload[:length], SHAPE)


def encoded(mode: str, size: tuple[int, int], kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (encoded("RGB", (63, 48)), "63x48"),
        (encoded("RGB", (20_000, 20_000)), "JPEG"),  # 1.2 GB once decoded: refused by its header
        (encoded("L", (64, 48)), "got a L picture"),
        (encoded("CMYK", (64, 48)), "got a CMYK picture"),
        (encoded("RGB", (64, 48), "PNG"), "no whole JPEG"),
    ],
    ids=["size", "bomb", "grey", "cmyk", "png"],
)
def test_a_picture_of_another_kind_is_refused(payload, message):
    with pytest.raises(WireFormatError, match=message):
        pictures.get("jpeg").deserialize(payload, SHAPE)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("float32", np.zeros(3), "got an array of float64"),
        ("uint8", np.zeros(3, np.float32), "allowed: uint8"),
        ("jpeg", np.zeros((2, 8, 8, 3), np.uint8), r"\[1, height, width, 3\]"),
        ("jpeg", np.zeros((1, 8, 8, 3), np.float32), "allowed: uint8"),
    ],
)
def test_an_array_that_a_format_cannot_carry(name, array, message):
    with pytest.raises(WireFormatError, match=message):
        pictures.get(name).serialize(array)


@pytest.mark.parametrize("quality", [0, 96, 50.0, True, "90"])
def test_a_quality_that_libjpeg_does_not_know(quality):
    with pytest.raises(SpecError, match="from 1 to 95"):
        pictures.Jpeg(quality)


def test_the_formats_of_a_picture_are_three_and_an_unknown_one_gets_the_nearest_name():
    assert pictures.names() == ("float32", "uint8", "jpeg")
    with pytest.raises(SpecError, match="did you mean 'jpeg'"):
        pictures.get("jpg")
