"""Finds a network's last activation, and losses and metrics that cannot use its values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import keras
import numpy as np

from fitx.build.built import BuiltExperiment
from fitx.build.preflight import loss_groups
from fitx.experiment.problems import Problem
from fitx.registry.kinds import Part

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


def problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield the loss and the metrics that cannot use what the network's last activation gives.

    A step of the user's may compute with the network's answer what it likes, so only fitx' own
    steps are judged.
    """
    experiment, networks = built.experiment, list(built.step.execution.contents.networks.values())
    if not experiment.part_index.is_shipped("step", experiment.step.name) or len(networks) != 1:
        return
    activation, y = last_activation(networks[0]), built.data.splits["train"].y
    if activation is None or y is None:
        return
    width = networks[0].output_shape[-1]
    is_sparse = y.ndim < len(networks[0].output_shape) or y.shape[-1] == 1
    loss = [] if experiment.loss is None else [(("loss",), experiment.loss)]
    lists = {"metrics": experiment.metrics, "weighted_metrics": experiment.weighted_metrics}
    metrics = [((key, i), part) for key, parts in lists.items() for i, part in enumerate(parts)]
    for path, part in (*loss, *metrics):
        text = _misuse(part, loss_groups.class_of(part, width, is_sparse=is_sparse), activation)
        if text is None and activation == "softmax" and width == 1 and part.kind == "loss":
            text = f"gets softmax over one output, which is always 1; {_end_in('sigmoid')}."
        if text is not None:
            yield experiment.problem(path, f"{part.name} {text}")


def last_activation(network: Any) -> str | None:
    """Return Keras' name of the activation that a network ends in, None where it is not known.

    It is not known of layers of other kinds or with constraints, which may bound their values,
    of networks with several outputs, and of subclassed ones.
    """
    layer = _last_layer(network)
    if type(layer) is keras.layers.Softmax:
        return "softmax"
    function = getattr(layer, "activation", None)
    if type(layer) not in _WITH_ACTIVATION or getattr(layer, "kernel_constraint", None):
        return None
    name = getattr(function, "__name__", "")
    return name if getattr(keras.activations, name, None) is function else None


def _misuse(part: Part, cls: str | None, activation: str) -> str | None:
    """Return why a loss or metric cannot use an activation's values, and the remedy."""
    ending = f"the network ends in {activation}"
    if loss_groups.takes_logits(part):
        if activation not in ("sigmoid", "softmax"):
            return None
        return f"is to take logits, but {ending}; {_end_in('linear')}, or remove from_logits."
    if cls == "Circle":
        advice = "end it in the layer unit_normalization"
        return f"takes vectors of length 1, but {ending}; {advice}."
    if not gives_negative_numbers(activation):
        return None
    if cls in loss_groups.PROBABILITIES:
        likely = "sigmoid" if cls in loss_groups.YES_OR_NO | loss_groups.OVERLAPS else "softmax"
        or_logits = ", or add from_logits: true" if cls in loss_groups.FROM_LOGITS else ""
        return f"takes probabilities, but {ending}; {_end_in(likely)}{or_logits}."
    if cls == "Poisson":
        return f"takes no negative predictions, but {ending}; {_end_in('softplus')}."
    return None


def _end_in(activation: str) -> str:
    return f"let it end in {activation} (`output_activation: {activation}` of a shipped model)"


def _last_layer(network: Any) -> Any:
    """Return the layer that gives a network's only output and its values; None if not known."""
    if isinstance(network, keras.Sequential):
        layers = [layer for layer in network.layers if type(layer) not in _RESHAPING]
        layer = layers[-1] if layers else None
    else:
        outputs = getattr(network, "outputs", None) or []
        layer = next((x for x in network.layers if _gives(x, outputs)), None)
    return _last_layer(layer) if isinstance(layer, keras.Model) else layer


def _gives(layer: Any, outputs: list[Any]) -> bool:
    """Return whether a layer, used once, produces the only output of a network."""
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
