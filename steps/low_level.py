"""The guide's "Going lower-level" example: the step computes its own loss and metric."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.step import Step
from fitx.steps import register


@register
class LowLevel(Step):
    """Train one network on labelled batches with a loss and a metric that the step defines itself.

    Batches: `(x, y)`. The loss is the mean squared error; logged are `loss` and `mae`, the mean
    absolute error, both as means over examples. The experiment gives only an optimizer.

    After "Customizing what happens in fit()", "Going lower-level":
    https://keras.io/guides/custom_train_step_in_tensorflow/

    This step minimizes the mean of the batch's losses. The guide's text of 2020 calls the function
    `keras.losses.mean_squared_error`, which returns one loss per example, so its gradient is that
    of their sum: batch size times as large, and with SGD that times the learning rate. The mean
    keeps the learning rate independent of the batch size, as the guide's later text does. Both
    texts log the mean.

    Args:
        model: Network from `x` (batch, ...) to predictions shaped like `y`.
    """

    USES = ()
    LOGS = ("loss", "mae")
    OWN_LOSS = "mean_squared_error"

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model=model)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = keras.losses.MeanSquaredError()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The step's own metrics, which alone are logged and reset every epoch."""
        return [self.loss_tracker, self.mae_metric]

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step on one batch."""
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.loss_fn(y, y_pred)
        self.minimize(loss, tape, "model")
        return self._measured(loss, data, y_pred)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch with the network as it predicts."""
        x, y = data
        y_pred = self(x, training=False)
        return self._measured(self.loss_fn(y, y_pred), data, y_pred)

    def _measured(self, loss: Any, data: Any, y_pred: Any) -> dict[str, Any]:
        x, y = data
        self.loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}
