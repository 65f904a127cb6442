"""A small decoder that tries to see the picture in the tensor of a cut. TensorFlow is imported by the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]

#: Pictures are decoded at this size at most: what they show is recognised there, and a step stays cheap.
LARGEST = 64
_BATCH = 16
_CHANNELS = 32
_LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Examples:
    """Tensors [n, ...] of a cut and the pictures [n, size, size, 3] in 0..1 that they were computed from."""

    tensors: NDArray[np.float32]
    pictures: Pictures


def shrunk(pictures: NDArray[np.uint8]) -> Pictures:
    """uint8 [n, height, width, 3] as float32 in 0..1, the longer side `LARGEST` at most."""
    import tensorflow as tf

    height, width = pictures.shape[1:3]
    scale = min(1.0, LARGEST / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return np.asarray(tf.image.resize(pictures.astype(np.float32) / 255, size, method="area"), dtype=np.float32)


def reconstruction_ssim(train: Examples, test: Examples, *, steps: int, seed: int) -> float:
    """Mean SSIM (Wang et al., 2004) of decoded test pictures to the true ones, after `steps` steps of training.

    The decoder: 1x1 convolution to 32 channels, resized to the picture, three 3x3 convolutions; a tensor without
    spatial axes goes through a dense layer to 8x8 first. Adam, mean absolute error.
    """
    import keras

    keras.utils.set_random_seed(seed)
    height, width = train.pictures.shape[1:3]
    scale = float(np.std(train.tensors)) or 1.0
    mean = float(np.mean(train.tensors))
    model = _decoder(train.tensors.shape[1:], (height, width))
    model.compile(keras.optimizers.Adam(_LEARNING_RATE), loss="mae", jit_compile=False)
    epochs = -(-steps * _BATCH // len(train.tensors))
    model.fit((train.tensors - mean) / scale, train.pictures, batch_size=_BATCH, epochs=epochs, verbose=0)
    decoded = model.predict((test.tensors - mean) / scale, batch_size=_BATCH, verbose=0)
    return ssim(decoded, test.pictures)


def ssim(one: Pictures, other: Pictures) -> float:
    """Mean SSIM of pictures [n, height, width, 3] in 0..1, of at least 11 pixels a side."""
    import tensorflow as tf

    return float(np.mean(tf.image.ssim(tf.convert_to_tensor(one), tf.convert_to_tensor(other), max_val=1.0)))


def _decoder(shape: tuple[int, ...], size: tuple[int, int]) -> Any:
    import keras
    from keras import layers

    x = given = keras.Input(shape)
    if len(shape) != 3:
        x = layers.Reshape((8, 8, 16))(layers.Dense(8 * 8 * 16)(layers.Flatten()(x)))
    x = layers.Conv2D(_CHANNELS, 1, activation="relu")(x)
    x = layers.Resizing(*size, interpolation="bilinear")(x)
    for _ in range(2):
        x = layers.Conv2D(_CHANNELS, 3, padding="same", activation="relu")(x)
    return keras.Model(given, layers.Conv2D(3, 3, padding="same", activation="sigmoid")(x))
