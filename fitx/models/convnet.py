"""A small convolutional network for images."""

from collections.abc import Sequence
from typing import Annotated

import keras
from annotated_types import Ge, Lt

from fitx.data.images import height_width_channels
from fitx.models import register


@register
def convnet(
    input_shape: Sequence[int],
    outputs: int,
    output_activation: str,
    *,
    filters: Sequence[Annotated[int, Ge(1)]] = (32, 64),
    activation: str = "relu",
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
) -> keras.Model:
    """Return a convolutional network that ends in one dense layer.

    It has one 3x3 convolution and one 2x2 downsampling per entry of `filters`.

    Args:
        input_shape: Shape of one image: (height, width, channels).
        outputs: Size of the output; by default it follows from the loss and the labels: one per
            class for classification, else as many as y has.
        output_activation: Activation of the output; by default the one that fits the loss:
            'softmax', 'sigmoid', 'softplus' for counts, 'linear' for other numbers and for logits.
        filters: Number of output channels of each convolution.
        activation: Activation of the convolutions.
        dropout: Fraction of the last convolution's values to drop in training.

    Raises:
        ValueError: If the data is not images, or if they are too small to be halved that often.
    """
    height, width, _ = height_width_channels(input_shape, "convnet")
    halvings = min(height, width).bit_length() - 1
    if len(filters) > halvings:
        raise ValueError(
            f"convnet halves images {len(filters)} times, once for each of filters; images of "
            f"{height}x{width} can be halved {halvings} times. Give fewer filters or set "
            "data.image_size."
        )
    layers = keras.layers
    stack = [keras.Input(tuple(input_shape))]
    for channels in filters:
        stack.append(layers.Conv2D(channels, 3, padding="same", activation=activation))
        stack.append(layers.MaxPooling2D())
    stack.append(layers.Flatten())
    if dropout:
        stack.append(layers.Dropout(dropout))
    # Under mixed precision a softmax of 16 bits would lose the small probabilities.
    dtype = keras.config.dtype_policy().variable_dtype
    stack.append(layers.Dense(outputs, activation=output_activation, dtype=dtype))
    return keras.Sequential(stack)
