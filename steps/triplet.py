"""Triplet loss with the hardest triplets of a batch: an embedding in which labels are clusters."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Gt

from fitx.engine.replicas.shared_steps import all_rows
from fitx.step import Step
from fitx.steps import register


@register
class Triplet(Step):
    """Train an encoder so that examples of one label lie closer together than those of others.

    Batches: `(x, y)`, with `x` (batch, ...) and class numbers y (batch,). Embeddings are scaled to
    length 1. The loss of an example is `max(0, margin + d(positive) - d(negative))`, where d is the
    distance to it, the positive the farthest example of its label in the batch, and the negative
    the nearest one of another label.

    Logged are `loss`, the mean over the examples that have both, and `recall_at_1`, the share of
    examples whose nearest other example of the batch has their label. Both depend on the size of
    the batch. Without labels there are no triplets.

    After Schroff, Kalenichenko and Philbin 2015, "FaceNet", arXiv:1503.03832, and, for the choice
    of triplets, Hermans, Beyer and Leibe 2017, "In Defense of the Triplet Loss", arXiv:1703.07737.

    Traps that it avoids: the gradient of a distance of 0, which is NaN; an example that is its own
    nearest neighbour; a mean over all triplets, of which most are easy and give no gradient; and
    triplets from one device's share of the batch alone.

    Args:
        encoder: Network from `x` to embeddings (batch, dimensions).
        margin: Difference of the distances from which on a triplet has no loss.
    """

    USES = ()
    LOGS = ("loss", "recall_at_1")

    def __init__(self, encoder: keras.Model, *, margin: Annotated[float, Gt(0)] = 0.3) -> None:
        super().__init__(encoder=encoder)
        self.margin = margin

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step on the hardest triplets of one batch."""
        with tf.GradientTape() as tape:
            values = self._measured(data, training=True)
        self.minimize(values["loss"], tape, "encoder")
        return values

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the same values on one batch."""
        return self._measured(data, training=False)

    def _measured(self, data: Any, *, training: bool) -> dict[str, Any]:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        embeddings = all_rows(tf.cast(self.encoder(x, training=training), tf.float32))
        labels = all_rows(tf.reshape(y, (-1,)))
        distances = _distances(tf.math.l2_normalize(embeddings, axis=-1))
        is_same = labels[:, None] == labels
        is_other = ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
        farthest = tf.reduce_max(tf.where(is_same & is_other, distances, -1.0), axis=1)
        nearest = tf.reduce_min(tf.where(is_same, _FAR, distances), axis=1)
        is_triplet = tf.cast((farthest >= 0) & (nearest < _FAR), tf.float32)
        losses = is_triplet * tf.nn.relu(self.margin + farthest - nearest)
        neighbour = tf.argmin(tf.where(is_other, distances, _FAR), axis=1)
        is_hit = tf.cast(tf.gather(labels, neighbour) == labels, tf.float32)
        loss = tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(is_triplet))
        return {"loss": loss, "recall_at_1": tf.reduce_mean(is_hit)}


_FAR = 1e9
"""Stands for the distance to examples that are not looked for; that of others is at most 2."""


def _distances(vectors: Any) -> Any:
    """Return the distances (n, n) between vectors (n, dimensions); the gradient at 0 is 0."""
    squares = tf.reduce_sum((vectors[:, None] - vectors) ** 2, axis=-1)
    is_apart = squares > 0
    return tf.where(is_apart, tf.sqrt(tf.where(is_apart, squares, 1.0)), 0.0)
