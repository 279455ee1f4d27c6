"""Dense layers one after the other."""

from collections.abc import Sequence
from typing import Annotated

import keras
from annotated_types import Ge, Lt

from fitx.models import register


@register
def mlp(
    input_shape: Sequence[int],
    outputs: int,
    output_activation: str,
    *,
    units: Sequence[Annotated[int, Ge(1)]] = (64, 64),
    activation: str = "relu",
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
) -> keras.Model:
    """Return a multi-layer perceptron, which flattens its input.

    Args:
        input_shape: Shape of one x.
        outputs: Size of the output; by default it follows from the loss and the labels: one per
            class for classification, else as many as y has.
        output_activation: Activation of the output; by default the one that fits the loss:
            'softmax', 'sigmoid', 'softplus' for counts, 'linear' for other numbers and for logits.
        units: Size of each hidden layer; an empty list makes the network linear.
        activation: Activation of the hidden layers.
        dropout: Fraction of each hidden layer's values to drop in training.
    """
    layers = keras.layers
    stack = [keras.Input(tuple(input_shape))]
    if len(input_shape) != 1:
        stack.append(layers.Flatten())
    for size in units:
        stack.append(layers.Dense(size, activation=activation))
        if dropout:
            stack.append(layers.Dropout(dropout))
    # Under mixed precision a softmax of 16 bits would lose the small probabilities.
    dtype = keras.config.dtype_policy().variable_dtype
    stack.append(layers.Dense(outputs, activation=output_activation, dtype=dtype))
    return keras.Sequential(stack)
