"""A small transformer from sequences of vectors to sequences of vectors."""

from collections.abc import Sequence
from typing import Annotated

import keras
from annotated_types import Ge

from fitx.models import register


@register
def transformer(
    input_shape: Sequence[int],
    outputs: int,
    *,
    width: Annotated[int, Ge(1)] = 64,
    blocks: Annotated[int, Ge(1)] = 2,
    heads: Annotated[int, Ge(1)] = 4,
) -> keras.Model:
    """Return a network from sequences (batch, length, features) to (batch, length, outputs).

    Each element of a sequence sees all others. The network does not know the order of the
    elements; let their features tell it.

    Args:
        input_shape: Shape of one sequence: (length, features); only the features count.
        outputs: Size of each vector of the output.
        width: Size of the vectors between the blocks.
        blocks: Number of blocks of attention and two dense layers.
        heads: Number of heads of each attention.

    Raises:
        ValueError: If the data is not sequences, or if the heads cannot share the width.
    """
    if len(input_shape) != 2 or width % heads:
        raise ValueError(
            "transformer needs sequences of shape (length, features) and a width that is a "
            f"multiple of heads; a row of the data has shape {tuple(input_shape)}, width is "
            f"{width} and heads is {heads}."
        )
    layers = keras.layers
    sequence = keras.Input((None, input_shape[1]))
    x = layers.Dense(width)(sequence)
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y)])
        y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(y)])
    # Under mixed precision outputs of 16 bits would make a loss coarse.
    dtype = keras.config.dtype_policy().variable_dtype
    return keras.Model(sequence, layers.Dense(outputs, dtype=dtype)(layers.LayerNormalization()(x)))
