"""What candidates send and what arrives, on a tier that computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.dnn.inputs import photograph
from harness.dnn.zoo import ModelSpec, preprocess
from harness.offloader import codec
from harness.results.schema import Key
from harness.transfer.wire import WireFormatError

SPEC = ModelSpec("net", "Net", (16, 16, 3), "tf")


class StubTier:
    """FAKE tier: cut 5 is crossed by [8, 8, 6]; its DeviceTL keeps every other row, column and channel."""

    spec = SPEC
    picture = photograph(SPEC.input_shape)
    input = preprocess(SPEC, photograph(SPEC.input_shape))

    def shape(self, cut: int) -> tuple[int, ...]:
        return {5: (8, 8, 6)}[cut]

    def random(self, shape: tuple[int, ...]) -> Any:
        return np.abs(np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)) + 1e-3

    def activation(self, cut: int) -> Any:
        return np.maximum(np.round(self.random(self.shape(cut)), 0) - 1, 0)

    def device_tl(self, cut: int, transfer_layer: str) -> Any:
        return None if transfer_layer == "none" else lambda x: x[:, ::2, ::2, :]

    def tensor(self, array: Any) -> Any:
        return array


TIER: Any = StubTier()


@pytest.mark.parametrize("form", ["float32", "uint8", "jpeg"])
def test_a_picture_arrives_as_the_network_s_input(form: str) -> None:
    key = Key("edge-only", None, "none", form)
    payload = codec.serialize(key, codec.source(TIER, key))
    arrived = codec.deserialize(TIER, key, payload)
    assert arrived.dtype == np.float32
    assert arrived.shape == (1, *SPEC.input_shape)
    assert np.abs(arrived - TIER.input).mean() < (0.1 if form == "jpeg" else 1e-6)
    assert codec.resident_payload(TIER, key) == payload


@pytest.mark.parametrize("layer", ["none", "maxpool", "maxpool:pool=2"])
@pytest.mark.parametrize(
    "form", ["float32", "float16", "uint8", "uint8+zlib", "uint8+jpeg:quality=80", "float32+zstd!random"]
)
def test_a_tensor_arrives_in_the_shape_that_edge_tl_takes(layer: str, form: str) -> None:
    key = Key("split", 5, layer, form)
    small = codec.payload_shape(TIER, key)
    assert small == ((1, 8, 8, 6) if layer == "none" else (1, 4, 4, 6))
    arrived = codec.deserialize(TIER, key, codec.resident_payload(TIER, key))
    assert arrived.dtype == np.float32
    assert arrived.shape == small


def test_where_the_size_depends_on_the_content_the_content_is_the_request_s() -> None:
    assert not np.array_equal(TIER.activation(5), TIER.random((8, 8, 6)))
    np.testing.assert_array_equal(codec.crossing(TIER, Key("split", 5, "none", "uint8")), TIER.random((8, 8, 6)))
    np.testing.assert_array_equal(codec.crossing(TIER, Key("split", 5, "none", "uint8+zlib")), TIER.activation(5))
    key = Key("split", 5, "maxpool", "uint8+zlib")
    assert codec.resident_payload(TIER, key) == codec.serialize(key, TIER.activation(5)[:, ::2, ::2, :])


def test_a_payload_of_another_cut_is_a_typed_error() -> None:
    for form in ("float32", "uint8", "uint8+zlib", "uint8+zstd"):
        payload = codec.resident_payload(TIER, Key("split", 5, "none", form))
        with pytest.raises(WireFormatError):
            codec.deserialize(TIER, Key("split", 5, "maxpool", form), payload)
    with pytest.raises(ValueError, match="sends nothing"):
        codec.payload_shape(TIER, Key("device-only"))
