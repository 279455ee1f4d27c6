"""The generator of the Keras guide's GAN."""

from collections.abc import Sequence
from typing import Annotated

import keras
from annotated_types import Ge

from fitx.data.images import height_width_channels
from fitx.models import register


@register
def dcgan_generator(
    image_shape: Sequence[int], *, latent_dim: Annotated[int, Ge(1)] = 128
) -> keras.Model:
    """Return a network that generates images, with values in [0, 1], from latent vectors.

    For 28x28x1 it is the generator of the guide "Customizing what happens in fit()"; for other
    sizes it starts from a quarter of the height and width.

    Args:
        image_shape: Shape of one image: (height, width, channels).
        latent_dim: Size of a latent vector.

    Raises:
        ValueError: If that is not the shape of an image whose sides are multiples of 4.
    """
    height, width, channels = height_width_channels(image_shape, "dcgan_generator")
    if height % 4 or width % 4:
        raise ValueError(
            f"dcgan_generator draws images whose sides are multiples of 4, not {height}x{width}; "
            "set data.image_size to one, such as 28."
        )
    layers = keras.layers
    # Under mixed precision drawn images keep the real ones' 32 bits, to be mixed with them.
    dtype = keras.config.dtype_policy().variable_dtype
    low = (height // 4, width // 4, 128)
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(low[0] * low[1] * low[2]),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Reshape(low),
            layers.Conv2DTranspose(128, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(128, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(channels, (7, 7), padding="same", activation="sigmoid", dtype=dtype),
        ]
    )
