"""Makes the variables that metrics would make on their first batch, where that is too late."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras
import numpy as np

from fitx.build.built import BuiltExperiment


def make_variables(built: BuiltExperiment, metrics: list[Any]) -> None:
    """Make the metrics' variables now, on the shapes of the labels and of the network's output.

    TensorFlow refuses variables that several replicas make while a step is traced. What fitx' own
    steps feed their metrics is known; of a user's step it is tried with each metric by itself,
    because the step may feed it something else than labels and outputs.

    Args:
        built: Its step is compiled, under the scope of a strategy.
        metrics: What the step was compiled with; names of metrics are left to Keras.
    """
    experiment, networks = built.experiment, list(built.step.networks.values())
    y = built.data.splits["train"].y
    shape = getattr(networks[0], "output_shape", None)
    if y is None or len(networks) != 1 or not isinstance(shape, tuple):
        return
    answer = np.zeros((1, *(side or 1 for side in shape[1:])), np.float32)
    is_shipped = experiment.part_index.is_shipped("step", experiment.step.name)
    given = [metric for metric in metrics if isinstance(metric, keras.metrics.Metric)]
    fed = [m for m in built.step.metrics if m.name != "loss"] if is_shipped else given
    for metric in fed:
        # What does not fit is told by the trace, which comes next.
        with suppress(Exception), keras.StatelessScope():
            metric.update_state(y[:1], answer)
