"""A small U-Net from images and a time to images."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import keras
from annotated_types import Ge

from fitx.data.images import height_width_channels
from fitx.models import register

_OCTAVES = 6
"""Frequencies that encode the time; each is twice the one before."""


@register
def unet(
    image_shape: Sequence[int], *, filters: Sequence[Annotated[int, Ge(1)]] = (32, 64)
) -> keras.Model:
    """Return a network from images and one time each (batch, 1), in [0, 1], to images.

    It has one residual block per entry of `filters` on the way down, where each but the last
    halves the image, and one on the way up, which sees the block on the way down of its size.

    Args:
        image_shape: Shape of one image: (height, width, channels).
        filters: Number of channels at each size of the image, the full size first.

    Raises:
        ValueError: If the data is not images, or if they cannot be halved that often.
    """
    height, width, channels = height_width_channels(image_shape, "unet")
    factor = 2 ** (len(filters) - 1)
    if height % factor or width % factor:
        raise ValueError(
            f"unet halves images {len(filters) - 1} times, once less than it has filters; images "
            f"of {height}x{width} cannot be. Give fewer filters or set data.image_size."
        )
    layers = keras.layers
    image, time = keras.Input(tuple(image_shape), name="image"), keras.Input((1,), name="time")
    encoded = layers.Dense(filters[-1], activation="silu")(_waves(time))
    x = layers.Conv2D(filters[0], 3, padding="same")(image)
    skipped = []
    for size in filters[:-1]:
        x = _block(x, encoded, size)
        skipped.append(x)
        x = layers.AveragePooling2D(2)(x)
    x = _block(x, encoded, filters[-1])
    for size in reversed(filters[:-1]):
        x = layers.Concatenate()([layers.UpSampling2D()(x), skipped.pop()])
        x = _block(x, encoded, size)
    # Under mixed precision a noise of 16 bits would make the loss coarse.
    dtype = keras.config.dtype_policy().variable_dtype
    x = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", dtype=dtype)(x)
    return keras.Model([image, time], x)


def _waves(time: Any) -> Any:
    """Return sines and cosines of a time (batch, 1), side by side."""
    angles = keras.ops.concatenate([time * (math.pi * 2**k) for k in range(_OCTAVES)], axis=-1)
    return keras.ops.concatenate([keras.ops.sin(angles), keras.ops.cos(angles)], axis=-1)


def _block(x: Any, encoded: Any, filters: int) -> Any:
    """Return `x` plus two convolutions of it, the second of which sees the encoded time."""
    layers = keras.layers
    straight = x if x.shape[-1] == filters else layers.Conv2D(filters, 1)(x)
    y = layers.Activation("silu")(layers.GroupNormalization(1)(x))
    y = layers.Conv2D(filters, 3, padding="same")(y)
    y = layers.Add()([y, layers.Reshape((1, 1, filters))(layers.Dense(filters)(encoded))])
    y = layers.Activation("silu")(layers.GroupNormalization(1)(y))
    return layers.Add()([straight, layers.Conv2D(filters, 3, padding="same")(y)])
