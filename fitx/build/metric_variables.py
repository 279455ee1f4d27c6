"""Creates the variables of metrics before the step is traced on several devices."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras
import numpy as np

from fitx.build.built import BuiltExperiment
from fitx.data.structure import is_nested


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
    shape = getattr(networks[0], "output_shape", None)
    if y is None or len(networks) != 1 or not isinstance(shape, tuple) or is_nested(y):
        return
    answer = np.zeros((1, *(side or 1 for side in shape[1:])), np.float32)
    is_shipped = experiment.part_index.is_shipped("step", experiment.step.name)
    own_metrics = [metric for metric in metrics if isinstance(metric, keras.metrics.Metric)]
    checked_metrics = (
        [m for m in built.step.metrics if m.name != "loss"] if is_shipped else own_metrics
    )
    for metric in checked_metrics:
        # Metrics that do not fit are reported by the trace, which comes next.
        with suppress(Exception), keras.StatelessScope():
            metric.update_state(y[:1], answer)
