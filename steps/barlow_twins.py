"""Barlow Twins: an encoder whose features agree between views and do not repeat each other."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Gt

from fitx.engine.replicas.shared_steps import all_rows
from fitx.steps import register
from fitx.steps._two_views import TwoViews


@register
class BarlowTwins(TwoViews):
    """Train an encoder, without labels, so that two views correlate dimension by dimension.

    Batches: `(x, y)`, with `x` (batch, ...) and class numbers y (batch,), which only the probe
    sees. Two augmented views of each example are projected to vectors, and each of their dimensions
    is standardised over the batch. With C the matrix of correlations between the dimensions of the
    two views, the loss is the sum of (1 - C_ii)^2 plus redundancy_weight times the sum of C_ij^2
    over i != j.

    Logged are `encoder_loss`, a mean over batches weighted by their examples, and `probe_loss` and
    `probe_accuracy`, of the probe on features of the examples themselves.

    After Zbontar, Jing, Misra, LeCun and Deny 2021, "Barlow Twins: Self-Supervised Learning via
    Redundancy Reduction", arXiv:2103.03230.

    Traps that it avoids: correlations over one device's share of the batch alone; a division by 0
    where a dimension is constant; a probe whose gradient reaches the encoder, or that sees
    statistics of the batch; and views in evaluation that differ from epoch to epoch.

    Args:
        augmenter: Network of random layers from `x` to a view of it; it has no optimizer.
        encoder: Network from views to features (batch, features).
        projector: Network from features to the vectors that are compared.
        probe: Network from features to probabilities (batch, classes), trained with labels.
        redundancy_weight: Weight of the correlations between different dimensions.
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
        redundancy_weight: Annotated[float, Gt(0)] = 0.005,
    ) -> None:
        super().__init__(augmenter=augmenter, encoder=encoder, projector=projector, probe=probe)
        self.redundancy_weight = redundancy_weight

    def compare(self, first: Any, second: Any, *, training: bool) -> dict[str, Any]:
        """Return the distance of the correlations between two views from the identity."""
        one, other = (
            _standardised(self.projector(self.encoder(view, training=training), training=training))
            for view in (first, second)
        )
        rows = tf.cast(tf.shape(one)[0], one.dtype)
        correlations = tf.matmul(one, other, transpose_a=True) / rows
        squares = (correlations - tf.eye(one.shape[-1])) ** 2
        agreement = tf.linalg.trace(squares)
        redundancy = tf.reduce_sum(squares) - agreement
        return {"encoder_loss": agreement + self.redundancy_weight * redundancy}


def _standardised(vectors: Any) -> Any:
    """Return the vectors of all devices, each dimension with mean 0 and variance 1."""
    vectors = all_rows(tf.cast(vectors, tf.float32))
    mean, variance = tf.nn.moments(vectors, axes=0)
    return (vectors - mean) * tf.math.rsqrt(variance + 1e-6)
