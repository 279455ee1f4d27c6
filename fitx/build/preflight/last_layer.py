"""Finds the activation from which an output of a network comes."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np

_WITH_ACTIVATION = (
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
"""Layers whose last operation is their activation."""

_RESHAPING = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Permute)


def last_activation(network: Any, output: int = 0) -> str | None:
    """Return Keras' name of the activation that an output comes from, None where it is not known.

    It is not known of layers of other kinds or with constraints, which may bound their values,
    and of subclassed networks.

    Args:
        network: The network.
        output: The position of the output in Keras' order.
    """
    layer = _last_layer(network, output)
    if type(layer) is keras.layers.Softmax:
        return "softmax"
    function = getattr(layer, "activation", None)
    if type(layer) not in _WITH_ACTIVATION or getattr(layer, "kernel_constraint", None):
        return None
    name = getattr(function, "__name__", "")
    return name if getattr(keras.activations, name, None) is function else None


def _last_layer(network: Any, output: int) -> Any:
    """Return the layer that gives an output of a network and its values; None if not known."""
    if isinstance(network, keras.Sequential):
        layers = [layer for layer in network.layers if type(layer) not in _RESHAPING]
        layer = layers[-1] if layers else None
    else:
        outputs = getattr(network, "outputs", None) or []
        layer = next((x for x in network.layers if _gives(x, outputs[output : output + 1])), None)
    return _last_layer(layer, 0) if isinstance(layer, keras.Model) else layer


def _gives(layer: Any, outputs: list[Any]) -> bool:
    """Return whether a layer, used once, produces the only one of these outputs."""
    try:
        return len(outputs) == 1 and layer.output is outputs[0]
    except (AttributeError, ValueError):
        return False


@cache
def gives_negative_numbers(activation: str) -> bool:
    """Return whether a Keras activation can return numbers below 0."""
    probe = np.array([[-10.0, -3.0, -1.0, -0.5, 0.0, 1.0]], np.float32)
    values = getattr(keras.activations, activation)(probe)
    return bool(np.min(keras.ops.convert_to_numpy(values)) < 0)
