"""A small transformer for networks/transformer.yaml."""

import keras
from keras import layers

from fitx import models


@models.register
def transformer(input_shape, outputs, output_activation, *, width: int = 32, heads: int = 4):
    """Return a network with one block of attention over an image's rows of pixels.

    Args:
        width: Numbers that stand for a pixel.
        heads: Of the attention.
    """
    inputs = keras.Input(input_shape)
    x = layers.Dense(width)(layers.Reshape((-1, 1))(inputs))
    attended = layers.MultiHeadAttention(heads, width // heads)(x, x)
    x = layers.LayerNormalization()(x + attended)
    x = layers.LayerNormalization()(
        x + layers.Dense(width)(layers.Dense(4 * width, activation="relu")(x))
    )
    pooled = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(outputs, activation=output_activation)(pooled))
