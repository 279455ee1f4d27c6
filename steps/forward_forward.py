"""The forward-forward algorithm: each layer learns by itself, without a gradient of later ones."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Gt

from fitx.step import Step
from fitx.steps import register


@register
class ForwardForward(Step):
    """Train a stack of layers, each to tell examples with their own label from ones with another.

    Batches: `(x, y)`, with `x` (batch, ...) and class numbers y (batch,). The label is written into
    the first `classes` values of x, as 1 for the class and 0 for the others. The goodness of a
    layer with weights is the mean square of its outputs. Each such layer learns a goodness above
    the threshold for examples with their label, and below it for examples with another one, drawn
    anew in each step. No gradient flows from one of them to the one before. The answer for an
    example is the label with the largest sum of goodness.

    Logged are `loss`, the sum of the layers' losses, and `accuracy`, that of the answers, both as
    means over examples. In evaluation the other label is the next class.

    After Hinton 2022, "The Forward-Forward Algorithm: Some Preliminary Investigations",
    arXiv:2212.13345.

    Traps that it avoids: a negative label that is the right one by accident; layers that read the
    goodness of the layer before from the length of its output, which the network avoids by a
    `unit_normalization` between them; a gradient that crosses layers; and an optimizer that is
    shared by layers that it was not built for.

    Args:
        model: Layers in sequence, such as flatten, dense, unit_normalization, dense.
        classes: Number of classes.
        seed: Seed of the negative labels; by default the experiment's.
        threshold: Goodness that separates the right labels from the others.
    """

    USES = ()
    LOGS = ("loss", "accuracy")

    def __init__(
        self,
        model: keras.Model,
        *,
        classes: Annotated[int, Ge(2)],
        seed: int,
        threshold: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__(model=model)
        self.classes = classes
        self.threshold = threshold
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of each layer on its own loss."""
        x, y = _flat_labels(data)
        with tf.GradientTape() as tape:
            loss = self._loss(x, y, self._negative_labels(y), training=True)
        self.minimize(loss, tape, "model")
        return {"loss": loss, "accuracy": self._accuracy(x, y)}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the loss and the accuracy on one batch."""
        x, y = _flat_labels(data)
        loss = self._loss(x, y, (y + 1) % self.classes, training=False)
        return {"loss": loss, "accuracy": self._accuracy(x, y)}

    def goodness(self, x: Any, labels: Any, *, training: bool) -> list[Any]:
        """Return the goodness (batch,) of each layer with weights, of x with labels written in."""
        values, goodness = self._labelled(x, labels), []
        for layer in self.model.layers:
            values = layer(values, training=training)
            if layer.trainable_variables:
                axes = tuple(range(1, len(values.shape)))
                goodness.append(tf.reduce_mean(tf.cast(values, tf.float32) ** 2, axis=axes))
                values = tf.stop_gradient(values)
        return goodness

    def _loss(self, x: Any, y: Any, other_y: Any, *, training: bool) -> Any:
        """Return the sum of the layers' losses; each depends on the weights of its layer alone."""
        right = tf.stack(self.goodness(x, y, training=training), axis=1)
        wrong = tf.stack(self.goodness(x, other_y, training=training), axis=1)
        losses = tf.nn.softplus(self.threshold - right) + tf.nn.softplus(wrong - self.threshold)
        return tf.reduce_mean(tf.reduce_sum(losses, axis=1))

    def _accuracy(self, x: Any, y: Any) -> Any:
        sums = [
            tf.add_n(self.goodness(x, tf.fill(tf.shape(y), label), training=False))
            for label in range(self.classes)
        ]
        answer = tf.argmax(tf.stack(sums, axis=1), axis=1, output_type=y.dtype)
        return tf.reduce_mean(tf.cast(answer == y, tf.float32))

    def _labelled(self, x: Any, labels: Any) -> Any:
        flat = tf.reshape(x, (tf.shape(x)[0], -1))
        one_hot = tf.one_hot(labels, self.classes, dtype=flat.dtype)
        return tf.reshape(tf.concat([one_hot, flat[:, self.classes :]], axis=1), tf.shape(x))

    def _negative_labels(self, y: Any) -> Any:
        """Draw one of the other labels for each of y (batch,), each with the same probability."""

        def draw(rows: Any) -> Any:
            return keras.random.randint((rows,), 1, self.classes, seed=self.seed_generator)

        return (y + tf.cast(self.per_example(y, draw), y.dtype)) % self.classes


def _flat_labels(data: Any) -> tuple[Any, Any]:
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    return x, tf.cast(tf.reshape(y, (-1,)), tf.int32)
