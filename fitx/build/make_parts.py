"""Constructs the parts that an experiment names: Keras' own, shipped ones and those of plugins."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from fitx.build.error_attribution import attribute_errors
from fitx.experiment import plugin_import
from fitx.experiment.checks.schedules import with_total
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts, own_parts
from fitx.registry.kinds import Part
from fitx.registry.registries import REGISTRIES

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


def make_value(experiment: Experiment, value: Any, path: KeyPath, total: int = 1) -> Any:
    """Return an option's value with every Keras part in it made, at any depth.

    Args:
        experiment: The experiment of the value.
        value: A checked value, which may be a part or contain parts.
        path: Its key, for errors.
        total: The value of `decay_steps: total` in schedules: training steps, or epochs.

    Raises:
        ConfigError: Keras rejects a part; at the innermost rejected key.
    """
    if isinstance(value, Part):
        return _make_part(experiment, value, path, total)
    if isinstance(value, dict):
        return {k: make_value(experiment, v, (*path, k), total) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [make_value(experiment, v, (*path, i), total) for i, v in enumerate(value)]
    return value


def class_of(part: Part) -> Any:
    """Return the Keras class or function of a part."""
    name = keras_parts.class_name(part.kind, part.name)
    if name is None:
        raise LookupError(f"Keras has no {part.kind} '{part.name}'")
    return getattr(_MODULES[part.kind], name)


def _make_part(experiment: Experiment, part: Part, path: KeyPath, total: int) -> Any:
    if part.name in keras_parts.SHAPE_DEPENDENT.get(part.kind, ()) and not part.options:
        return part.name
    own = plugin_import.own_part(experiment, part.kind, part.name)
    if own is not None:
        return _make_own(experiment, part, path, own, total)
    cls = class_of(part)
    if part.kind == "activation":
        return cls
    options = make_value(experiment, _numbered(experiment, part, path, total), path, total)
    if part.kind == "metric":
        # Keras names a metric given as a string by that string; one with options gets the same.
        options = {k: v for k, v in options.items() if k != "as"} | {"name": part.logged_as}
    if cls is keras.callbacks.LearningRateScheduler:
        options["schedule"] = _by_epoch(options["schedule"])
    with attribute_errors(experiment, path):
        return cls(**options)


def _make_own(experiment: Experiment, part: Part, path: KeyPath, own: Any, total: int) -> Any:
    """Return a part of a Keras kind that a plugin defines as a class or a function."""
    options = make_value(experiment, _numbered(experiment, part, path, total), path, total)
    options = {name: value for name, value in options.items() if name != "as"}
    definition = experiment.part_index.find(part.kind, part.name)
    if definition is None or not own_parts.is_applied(part.kind, definition, options):
        with attribute_errors(experiment, path):
            result = own(**options)
        if part.kind == "metric":
            result.name = part.logged_as
        return result
    if part.kind == "metric":
        return keras.metrics.MeanMetricWrapper(own, name=part.logged_as, **options)
    return partial(own, **options) if options else own


def _numbered(experiment: Experiment, part: Part, path: KeyPath, total: int) -> dict[str, Any]:
    """Return a part's options, those of a schedule with the number of steps for `total`."""
    if part.kind != "schedule":
        return part.options
    try:
        # A smoke run is shorter than any warm-up.
        warmup = part.options.get("warmup_steps", 0) if experiment.is_smoke else 0
        return with_total(part, total + warmup)
    except ValueError as error:
        raise experiment.error((*path, "warmup_steps"), str(error)) from error


def _by_epoch(schedule: Any) -> Any:
    """Return a schedule as the function of the epoch that LearningRateScheduler calls."""
    return lambda epoch, learning_rate: float(schedule(epoch))


def call_part(
    experiment: Experiment,
    part: Part,
    path: KeyPath,
    values_from_fitx: dict[str, Any],
    **unlisted: Any,
) -> Any:
    """Call a shipped part or a plugin's with its options and those values that it takes.

    Args:
        experiment: The experiment of the part.
        part: The part.
        path: Its key, for errors.
        values_from_fitx: Values that it is given if it has a parameter of that name.
        unlisted: Values that it is given although its signature does not list them.
    """
    signature = experiment.part_index.signature(part.kind, part.name)
    names = {p.name for p in signature.parameters} if signature else set()
    filled = {name: value for name, value in values_from_fitx.items() if name in names}
    options = make_value(experiment, part.options, path)
    with attribute_errors(experiment, path):
        return function_of(experiment, part)(**{**filled, **options, **unlisted})


def function_of(experiment: Experiment, part: Part) -> Any:
    """Return the class or function of a part of fitx or a plugin."""
    own = plugin_import.own_part(experiment, part.kind, part.name)
    return REGISTRIES[part.kind].get(part.name) if own is None else own
