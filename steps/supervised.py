"""Supervised training, the guide's first example: minimizes the loss on labelled batches."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.step import Step
from fitx.steps import register


@register
class Supervised(Step):
    """Train one network on labelled batches by minimizing the experiment's loss.

    Batches: `(x, y)`, or `(x, y, sample_weight)` with one weight per example (batch,) or
    (batch, 1), which applies to all its values, or one per value of the loss, as (batch, time):
    an example of weight 2.0 counts twice, one of weight 0.0 not at all. The weights enter the loss
    and the experiment's `weighted_metrics`; its `metrics` stay unweighted. As with Keras' own
    `fit`, `loss` is logged as the mean over examples: each batch counts by its number of rows.
    Each part may be a structure of arrays, for a network with several inputs or outputs.

    After "Customizing what happens in fit()", first, third and fourth example:
    https://keras.io/guides/custom_train_step_in_tensorflow/

    Args:
        model: Network from `x` (batch, ...) to predictions (batch, ...).
    """

    USES = ("loss", "metrics")
    LOGS = ("loss",)

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model=model)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step on one batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        self.minimize(loss, tape, "model")
        return self._measured(loss, data, y_pred)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch with the network as it predicts."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight, training=False)
        return self._measured(loss, data, y_pred)

    def _measured(self, loss: Any, data: Any, y_pred: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y = _in_a_column(y, y_pred)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])
        return dict(self.compute_metrics(x, y, y_pred, sample_weight))


def _in_a_column(y: Any, y_pred: Any) -> Any:
    """Return labels (batch,) as (batch, 1) where predictions are so, as some metrics demand."""
    is_flat = tf.is_tensor(y) and tf.is_tensor(y_pred) and y_pred.shape[-1:] == (1,)
    return y[..., None] if is_flat and y.shape.rank + 1 == y_pred.shape.rank else y
