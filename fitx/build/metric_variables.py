"""Creates the variables of metrics before the step is traced on several devices."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras
import numpy as np

from fitx.build.built import BuiltExperiment
from fitx.compat.compile_arguments import compiled_loss
from fitx.compat.output_losses import count_rows
from fitx.data import structure


def make_variables(built: BuiltExperiment, metrics: list[Any]) -> None:
    """Create the metrics' variables from the shapes of the labels and the network's output.

    TensorFlow does not let replicas create variables while a step is traced. fitx' own steps feed
    their metrics labels and outputs; a user's step may feed something else, so there each metric
    is tried by itself.

    Args:
        built: The experiment; its step is compiled in the scope of a strategy.
        metrics: The metrics the step was compiled with; names are left to Keras.
    """
    experiment, networks = built.experiment, list(built.step.execution.contents.networks.values())
    y = built.data.splits["train"].y
    answer = _answer(networks[0]) if len(networks) == 1 else None
    if y is None or answer is None:
        return
    y = structure.mapped(lambda array: array[:1], y)
    is_shipped = experiment.part_index.is_shipped("step", experiment.step.name)
    own_metrics = [metric for metric in metrics if isinstance(metric, keras.metrics.Metric)]
    checked_metrics = (
        [m for m in built.step.metrics if m.name != "loss"] if is_shipped else own_metrics
    )
    if structure.is_nested(y):
        # Keras makes a mean for the loss of each output when it first computes them.
        losses = compiled_loss(built.step)
        count_rows(losses)
        with suppress(Exception), keras.StatelessScope():
            losses(y, answer)
    for metric in checked_metrics:
        # Metrics that do not fit are reported by the trace, which comes next.
        with suppress(Exception), keras.StatelessScope():
            metric.update_state(y, answer)


def _answer(network: keras.Model) -> Any:
    """Return zeros for one row of what a network returns; None if its outputs are not known."""
    try:
        outputs = network.compute_output_spec(network.inputs)
    except Exception:
        # A subclassed network may need to be called.
        return None

    def zeros(output: Any) -> np.ndarray:
        return np.zeros((1, *(side or 1 for side in output.shape[1:])), np.float32)

    return keras.tree.map_structure(zeros, outputs)
