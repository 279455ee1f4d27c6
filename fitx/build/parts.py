"""Keras' own parts made from their descriptions."""

from __future__ import annotations

from typing import Any

import keras

from fitx.registry import keras_parts
from fitx.registry.kinds import Part

_MODULES = {
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "loss": keras.losses,
    "metric": keras.metrics,
    "layer": keras.layers,
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
    "callback": keras.callbacks,
}


def make_part(part: Part, *, total_steps: int = 0) -> Any:
    """Make a part of Keras, its inner parts first.

    Args:
        part: A checked part of a Keras kind.
        total_steps: Training steps in all, which a schedule's `decay_steps: total` means.

    Raises:
        ValueError, TypeError: Keras refuses an option's value.
    """
    special = keras_parts.SPECIAL.get(part.kind, ())
    if part.name in special and not part.options:
        return part.name
    made = class_of(part)
    if part.kind == "activation":
        return made
    options = {k: _made(v, total_steps) for k, v in part.options.items()}
    if part.kind == "metric":
        # Keras names a metric given as a string by that string; one with options gets the same.
        options["name"] = part.name
    if made is keras.callbacks.LearningRateScheduler:
        schedule = options["schedule"]
        options["schedule"] = lambda epoch: float(schedule(epoch))
    return made(**options)


def class_of(part: Part) -> Any:
    """Return the Keras class or function of a part."""
    return getattr(_MODULES[part.kind], _class_name(part))


def _made(value: Any, total_steps: int) -> Any:
    if isinstance(value, Part):
        return make_part(value, total_steps=total_steps)
    if isinstance(value, list):
        return [_made(item, total_steps) for item in value]
    return max(total_steps, 1) if value == "total" else value


def _class_name(part: Part) -> str:
    name = keras_parts.class_name(part.kind, part.name)
    if name is None:
        raise LookupError(f"Keras has no {part.kind} '{part.name}'")
    return name
