"""Training-time twins: bit for bit what the wire does, with and without XLA, and gradients that pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.transfer import wire

pytestmark = pytest.mark.tensorflow

LABELS = ("float16", "uint8", "uint8:percentile=99", "uint8:percentile=75.5")
SHAPE = (5, 6, 3)
#: Denormal numbers too: TensorFlow takes them for zero, and must come to the same bytes all the same.
VALUES = st.one_of(
    st.floats(-(2.0**99), 2.0**99, width=32),
    st.floats(-1, 1, width=32),
    st.sampled_from(
        [
            float(np.float32(own))
            for own in (0.0, -0.0, 1e-40, -1e-40, 1e-31, 65504.0, 65519.0, 65520.0, 1e9, 0.5, 2.5, 6e-8, 3e-8, 1e-7)
        ]
    ),
)
TENSORS = hnp.arrays(np.float32, (3, *SHAPE), elements=VALUES)
SCALES = st.sampled_from([1e-35, 1e-20, 1e-3, 1.0, 1e5, 1e20])


@pytest.fixture(scope="module", params=LABELS)
def pair(request):
    """A wire format, its twin called eagerly, and compiled by XLA."""
    import tensorflow as tf

    from harness.transfer.twins import twin

    layer = twin(wire.get(request.param))
    signature = [tf.TensorSpec((None, *SHAPE), tf.float32)]
    compiled = tf.function(layer.call, jit_compile=True, input_signature=signature, autograph=False)
    return wire.get(request.param), layer, compiled


def sent(form, batch):
    """Each example over the wire by itself, as a request is."""
    return np.concatenate([form.deserialize(form.serialize(own[None]), (1, *SHAPE)) for own in batch])


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_a_twin_is_the_wire_bit_for_bit(pair, data):
    form, layer, compiled = pair
    with np.errstate(over="ignore"):
        batch = np.clip(data.draw(TENSORS) * np.float32(data.draw(SCALES)), -1e30, 1e30)
    expected = sent(form, batch)
    for call in (layer, compiled):
        np.testing.assert_array_equal(np.asarray(call(batch)), expected)


def test_a_twin_is_the_wire_on_a_large_tensor(pair):
    form, layer, compiled = pair
    generator = np.random.default_rng(0)
    for spread in (0.1, 3.0, 400.0):
        batch = (generator.standard_normal((64, *SHAPE)) * spread).astype(np.float32)
        for call in (layer, compiled):
            np.testing.assert_array_equal(np.asarray(call(batch)), sent(form, batch))


def test_gradients_pass_where_nothing_was_clipped(pair):
    import tensorflow as tf

    form, layer, _ = pair
    x = tf.constant(np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32))
    weights = tf.constant(np.random.default_rng(1).standard_normal((2, *SHAPE)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * weights)
    gradient = np.asarray(tape.gradient(loss, x))
    passed = gradient == np.asarray(weights)
    assert (passed | (gradient == 0)).all()
    share = passed.mean()
    assert share == 1 if "=75.5" not in form.label else 0.4 < share < 0.6


def test_half_precision_passes_no_gradient_beyond_its_range():
    import tensorflow as tf

    from harness.transfer.twins import twin

    x = tf.constant([[1.0, 1e6, -1e6, 65504.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = twin(wire.get("float16"))(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [[1.0, 0.0, 0.0, 1.0]])


def test_what_changes_no_value_has_no_twin_and_what_packs_adds_none():
    from harness.transfer.twins import twin

    assert twin(wire.get("float32")) is None
    assert twin(wire.get("float32+zlib")) is None
    assert type(twin(wire.get("uint8+zstd"))) is type(twin(wire.get("uint8+jpeg"))) is type(twin(wire.get("uint8")))


def test_a_model_with_a_twin_is_saved_and_loaded(tmp_path):
    import keras

    from harness.transfer.twins import twin

    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, twin(wire.get("uint8:percentile=99"))(inputs))
    model.save(tmp_path / "twin.keras")
    again = keras.saving.load_model(tmp_path / "twin.keras")
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    np.testing.assert_array_equal(again(x), model(x))
