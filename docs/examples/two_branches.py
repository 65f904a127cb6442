"""A network of one's own: two branches, a skip connection, an odd input size."""

import keras
from keras import layers


def build() -> keras.Model:
    picture = keras.Input((97, 131, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(picture)
    fine = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    coarse = layers.Conv2D(32, 5, padding="same", activation="relu")(x)
    x = layers.Concatenate()([fine, coarse])
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    skipped = x
    x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(64, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, skipped]))
    x = layers.Conv2D(128, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(10, activation="softmax")(x))
