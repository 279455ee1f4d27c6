"""The discriminator of the Keras guide's GAN."""

from collections.abc import Sequence

import keras

from fitx.data.images import height_width_channels
from fitx.models import register


@register
def dcgan_discriminator(input_shape: Sequence[int]) -> keras.Model:
    """Return a network that distinguishes real from generated images, with one logit.

    For 28x28x1 it is the discriminator of the guide "Customizing what happens in fit()".

    Args:
        input_shape: Shape of one image: (height, width, channels).

    Raises:
        ValueError: If this is not the shape of an image.
    """
    height_width_channels(input_shape, "dcgan_discriminator")
    # Under mixed precision a logit of 16 bits would make the losses coarse.
    dtype = keras.config.dtype_policy().variable_dtype
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(tuple(input_shape)),
            layers.Conv2D(64, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(128, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.GlobalMaxPooling2D(),
            layers.Dense(1, dtype=dtype),
        ]
    )
