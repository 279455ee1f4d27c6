"""The smallest network: one dense layer."""

from collections.abc import Sequence

import keras

from fitx.models import register


@register
def linear(input_shape: Sequence[int], outputs: int, output_activation: str) -> keras.Model:
    """Return a network of one dense layer, which flattens its input.

    Args:
        input_shape: Shape of one x.
        outputs: Size of the output; by default it follows from the loss and the labels: one per
            class for classification, else as many as y has.
        output_activation: Activation of the output; by default the one that fits the loss:
            'softmax', 'sigmoid', 'softplus' for counts, 'linear' for other numbers and for logits.
    """
    flatten = [] if len(input_shape) == 1 else [keras.layers.Flatten()]
    # Under mixed precision a softmax of 16 bits would lose the small probabilities.
    dtype = keras.config.dtype_policy().variable_dtype
    answer = keras.layers.Dense(outputs, activation=output_activation, dtype=dtype)
    return keras.Sequential([keras.Input(tuple(input_shape)), *flatten, answer])
