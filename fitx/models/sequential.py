"""Any Keras layers, one after the other, as the experiment lists them."""

from collections.abc import Sequence

import keras

from fitx.models import register
from fitx.registry.kinds import Layer


@register
def sequential(input_shape: Sequence[int], *, layers: Sequence[Layer]) -> keras.Model:
    """Return the given layers as one network.

    Args:
        input_shape: Shape of one x.
        layers: Keras layers by name with their options, such as `{name: dense, units: 64}`.
    """
    return keras.Sequential([keras.Input(tuple(input_shape)), *layers])
