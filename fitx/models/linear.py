"""The smallest network: one dense layer."""

from collections.abc import Sequence

import keras

from fitx.models import register


@register
def linear(input_shape: Sequence[int], outputs: int, output_activation: str) -> keras.Model:
    """Return a network of one dense layer, which flattens what is not a vector.

    Args:
        input_shape: Shape of one x.
        outputs: Numbers in one answer.
        output_activation: Activation of the answer, such as 'linear' or 'softmax'.
    """
    flatten = [] if len(input_shape) == 1 else [keras.layers.Flatten()]
    # Under mixed precision a softmax of 16 bits would lose the small probabilities.
    dtype = keras.config.dtype_policy().variable_dtype
    answer = keras.layers.Dense(outputs, activation=output_activation, dtype=dtype)
    return keras.Sequential([keras.Input(tuple(input_shape)), *flatten, answer])
