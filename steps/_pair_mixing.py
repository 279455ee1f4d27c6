"""The base of steps that mix each example with another one of its batch."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from fitx.engine.replicas.shared_steps import all_rows, own_rows
from fitx.step import Step


class PairMixing(Step):
    """Trains one network on mixtures of two examples, with the losses of both labels.

    A subclass defines `mixtures`. The losses are weighted, so that labels need not be one-hot.

    Args:
        model: Network from `x` to predictions.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model=model)

    @abstractmethod
    def mixtures(self, x: Any) -> tuple[Any, Any]:
        """Return mixtures of x and `partners(x)`, and the share of x in each (batch,)."""

    def partners(self, values: Any) -> Any:
        """Return the next row of the batch for each row, and the first for the last."""
        return own_rows(tf.roll(all_rows(values), -1, axis=0))

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step on the mixtures of one batch."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        mixed, share = self.mixtures(x)
        with tf.GradientTape() as tape:
            y_pred = self.model(mixed, training=True)
            loss = self._loss_of_both_labels(y, y_pred, weight, share)
        self.minimize(loss, tape, "model")
        main_y = tf.where(like_rows_of(y, share >= 0.5), y, self.partners(y))
        return {**self.compute_metrics(x, main_y, y_pred, weight), "loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch as it is."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self.model(x, training=False)
        loss = self.compute_loss(x, y, y_pred, weight, training=False)
        return {**self.compute_metrics(x, y, y_pred, weight), "loss": loss}

    def _loss_of_both_labels(self, y: Any, y_pred: Any, weight: Any, share: Any) -> Any:
        weight = tf.ones_like(share) if weight is None else tf.reshape(weight, (-1,))
        weights = tf.concat([weight * share, self.partners(weight) * (1 - share)], axis=0)
        # One loss over twice as many rows, so that the losses of layers are added once.
        both, twice = tf.concat([y, self.partners(y)], axis=0), tf.concat([y_pred, y_pred], axis=0)
        return self.compute_loss(y=both, y_pred=twice, sample_weight=2 * weights)


def like_rows_of(values: Any, numbers: Any) -> Any:
    """Return numbers (batch,) with axes of length 1, so that they multiply rows of values."""
    return tf.reshape(numbers, (-1, *[1] * (len(values.shape) - 1)))
