"""Finds optimizers that have nothing to train."""

from __future__ import annotations

from collections.abc import Iterator

from fitx.build.built import BuiltExperiment
from fitx.experiment.problems import Problem


def problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield a problem for each optimizer whose network has no variable that is to be trained.

    A step's only optimizer trains the step's own layers too.
    """
    experiment, step = built.experiment, built.step
    names = [name for name in experiment.optimizers if name in step.networks]
    for name in names:
        owner = step if len(names) == 1 else step.networks[name]
        if not owner.trainable_variables:
            text = "has nothing to train: its network has no variables, or all layers are frozen; "
            text += "set `trainable: true` in one, or remove the optimizer and use `fitx evaluate`."
            yield experiment.problem(("optimizers", name), text)
