"""The base of steps that train an encoder on two augmented views of each example."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fitx.engine.replicas.shared_steps import all_rows
from fitx.step import Step


class TwoViews(Step):
    """Trains an encoder on two views of each example, and a classifier on its features to judge it.

    A subclass names its networks, among them `augmenter`, `encoder` and `probe`, and defines
    `compare`. The classifier is trained with labels, and its gradient ends at the features.
    """

    def __init__(self, **networks: keras.Model) -> None:
        super().__init__(**networks)
        state = networks["augmenter"].non_trainable_variables
        self._augmenter_state = [np.array(variable) for variable in state]

    @abstractmethod
    def compare(self, first: Any, second: Any, *, training: bool) -> dict[str, Any]:
        """Return `encoder_loss`, and what else is logged, of two views of the same examples."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step on two views of one batch, and one of the classifier."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            values = self.compare(*self._views(x), training=True)
        self.minimize(values["encoder_loss"], tape)
        features = tf.stop_gradient(self.encoder(x, training=False))
        with tf.GradientTape() as tape:
            judged = _judged(y, self.probe(features, training=True))
        self.minimize(judged["probe_loss"], tape, "probe")
        return {**values, **judged}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the same values on one batch, with views that are drawn alike every time."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        values = self.compare(*self._views_of_evaluation(x), training=False)
        features = self.encoder(x, training=False)
        return {**values, **_judged(y, self.probe(features, training=False))}

    def _views(self, x: Any) -> list[Any]:
        # Every device augments the whole batch, so that views do not depend on their number.
        return [
            self.per_example(x, lambda _: self.augmenter(all_rows(x), training=True))
            for _ in range(2)
        ]

    def _views_of_evaluation(self, x: Any) -> tuple[Any, Any]:
        """Return the views that the augmenter draws first."""

        def draw(_: Any) -> Any:
            rows, state = all_rows(x), self._augmenter_state
            first, state = self.augmenter.stateless_call([], state, rows, training=True)
            second, _ = self.augmenter.stateless_call([], state, rows, training=True)
            return tf.stack([first, second], axis=1)

        first, second = tf.unstack(self.per_example(x, draw), axis=1)
        return first, second


def _judged(y: Any, answer: Any) -> dict[str, Any]:
    """Return the cross-entropy and the accuracy of the classifier's answer."""
    loss = keras.losses.sparse_categorical_crossentropy(y, answer)
    accuracy = keras.metrics.sparse_categorical_accuracy(y, answer)
    return {"probe_loss": tf.reduce_mean(loss), "probe_accuracy": tf.reduce_mean(accuracy)}
