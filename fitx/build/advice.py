"""What to write instead, for errors of a step's own code that say it badly."""

from __future__ import annotations

import re

import keras

from fitx.compat.error_texts import wanted_value
from fitx.experiment.experiment import Experiment
from fitx.step import Step

_BY_USE = {
    "bool": "Python's `if` runs once, before there are values: choose with "
    "keras.ops.where, keras.ops.cond or tf.cond.",
    "iteration": "Python's `for` runs once, before there are values: loop with tf.while_loop, "
    "tf.map_fn or keras.ops.fori_loop.",
    "number": "A step's tensors have no values for Python: compute with keras.ops or tf.",
}
"""Advice on errors of a step that wants values while it is traced, by what for."""

_NO_SETTER = re.compile(r"property '(\w+)' of '.*' object has no setter")


def advice(experiment: Experiment, error: BaseException) -> str:
    """Return a sentence on what to write instead; empty if the error says enough."""
    text = str(error)
    use = wanted_value(error)
    if use is not None:
        return _BY_USE[use]
    if not isinstance(error, AttributeError):
        return _missing_loss(experiment, text)
    fixed = _NO_SETTER.search(text)
    if fixed is not None:
        return f"Every Step has a '{fixed[1]}': give your attribute another name."
    return _about_optimizers(experiment, error)


def _missing_loss(experiment: Experiment, text: str) -> str:
    if experiment.loss is None and text == "'NoneType' object is not callable":
        return "self.loss is the experiment's `loss:`, and this experiment has none."
    return ""


def _about_optimizers(experiment: Experiment, error: AttributeError) -> str:
    name, names = str(error.name), list(experiment.optimizers)
    attributes = " and ".join(f"self.{network}_optimizer" for network in names)
    if error.obj is None and hasattr(keras.optimizers.Optimizer, name) and len(names) > 1:
        return f"With several optimizers self.optimizer is None; they are {attributes}."
    if not isinstance(error.obj, Step) or not name.endswith("optimizer"):
        return ""
    network = name.removesuffix("_optimizer")
    if network in experiment.networks:
        return f"The network '{network}' has no optimizer in this experiment, so it is frozen."
    return f"Optimizers are named after their networks: {attributes}." if names else ""
