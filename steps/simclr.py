"""SimCLR: an encoder that recognises two views of an example among the others of the batch."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Gt

from fitx.engine.replicas.shared_steps import all_rows
from fitx.steps import register
from fitx.steps._two_views import TwoViews


@register
class SimCLR(TwoViews):
    """Train an encoder, without labels, to recognise two views of an example among a batch.

    Batches: `(x, y)`, with `x` (batch, ...) and class numbers y (batch,), which only the probe
    sees. Two augmented views of each example are projected to vectors of length 1. The loss of each
    of the 2 * batch vectors is the cross-entropy of finding its twin among all others, with logits
    cosine / temperature (NT-Xent).

    Logged are `encoder_loss`, a mean over examples, which depends on the size of the batch, and
    `probe_loss` and `probe_accuracy`, of the probe on features of the examples themselves.

    After Chen, Kornblith, Norouzi and Hinton 2020, "A Simple Framework for Contrastive Learning of
    Visual Representations", arXiv:2002.05709.

    Traps that it avoids: a vector that is compared with itself; negatives from one device's share
    of the batch alone; a probe whose gradient reaches the encoder, or that sees statistics of the
    batch; and views in evaluation that differ from epoch to epoch.

    Args:
        augmenter: Network of random layers from `x` to a view of it; it has no optimizer.
        encoder: Network from views to features (batch, features).
        projector: Network from features to the vectors that are compared.
        probe: Network from features to probabilities (batch, classes), trained with labels.
        temperature: Divisor of the cosines.
    """

    USES = ()
    LOGS = ("encoder_loss", "probe_loss", "probe_accuracy")

    def __init__(
        self,
        augmenter: keras.Model,
        encoder: keras.Model,
        projector: keras.Model,
        probe: keras.Model,
        *,
        temperature: Annotated[float, Gt(0)] = 0.2,
    ) -> None:
        super().__init__(augmenter=augmenter, encoder=encoder, projector=projector, probe=probe)
        self.temperature = temperature

    def compare(self, first: Any, second: Any, *, training: bool) -> dict[str, Any]:
        """Return the loss of finding each view's twin among all views of the batch."""
        views = [self.encoder(view, training=training) for view in (first, second)]
        projected = [self.projector(view, training=training) for view in views]
        vectors = tf.concat([all_rows(tf.cast(p, tf.float32)) for p in projected], axis=0)
        vectors = tf.math.l2_normalize(vectors, axis=-1)
        count = tf.shape(vectors)[0]
        logits = tf.matmul(vectors, vectors, transpose_b=True) / self.temperature
        logits = tf.where(tf.eye(count, dtype=tf.bool), logits.dtype.min, logits)
        twins = tf.roll(tf.range(count), count // 2, axis=0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(twins, logits)
        return {"encoder_loss": tf.reduce_mean(losses)}
