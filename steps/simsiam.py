"""SimSiam: an encoder that predicts one view of an example from another, without negatives."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.engine.replicas.shared_steps import all_rows
from fitx.steps import register
from fitx.steps._two_views import TwoViews


@register
class SimSiam(TwoViews):
    """Train an encoder, without labels, so that one view of an example predicts another one.

    Batches: `(x, y)`, with `x` (batch, ...) and class numbers y (batch,), which only the probe
    sees. Two augmented views of each example are projected to vectors, and predicted vectors are
    computed from both. The loss is the negative cosine between the prediction from one view and the
    vector of the other, through which no gradient flows.

    Logged are `encoder_loss`, from -1 to 1; `spread`, the standard deviation of the vectors'
    directions, which is near 1 if they fill the space and 0 if all are equal, so that the encoder
    has collapsed; and `probe_loss` and `probe_accuracy`, of the probe on features of the examples
    themselves. All are means over examples, and `spread` is one over batches weighted by their
    examples.

    After Chen and He 2021, "Exploring Simple Siamese Representation Learning", arXiv:2011.10566.

    Traps that it avoids: a gradient through the vectors that are predicted, which lets the encoder
    collapse at the best possible loss, without a logged value that shows it; a probe whose gradient
    reaches the encoder, or that sees statistics of the batch; and views in evaluation that differ
    from epoch to epoch.

    Args:
        augmenter: Network of random layers from `x` to a view of it; it has no optimizer.
        encoder: Network from views to features (batch, features).
        projector: Network from features to vectors; with batch normalization.
        predictor: Network from the vectors of one view to those of the other.
        probe: Network from features to probabilities (batch, classes), trained with labels.
    """

    USES = ()
    LOGS = ("encoder_loss", "spread", "probe_loss", "probe_accuracy")

    def __init__(
        self,
        augmenter: keras.Model,
        encoder: keras.Model,
        projector: keras.Model,
        predictor: keras.Model,
        probe: keras.Model,
    ) -> None:
        super().__init__(
            augmenter=augmenter,
            encoder=encoder,
            projector=projector,
            predictor=predictor,
            probe=probe,
        )

    def compare(self, first: Any, second: Any, *, training: bool) -> dict[str, Any]:
        """Return the loss of predicting each view from the other, and how the vectors spread."""
        vectors = [
            self.projector(self.encoder(view, training=training), training=training)
            for view in (first, second)
        ]
        one, other = vectors
        predictions = [self.predictor(vector, training=training) for vector in vectors]
        cosines = _cosines(predictions[0], other) + _cosines(predictions[1], one)
        return {"encoder_loss": -tf.reduce_mean(cosines) / 2, "spread": _spread(one)}


def _cosines(predictions: Any, targets: Any) -> Any:
    """Return the cosines (batch,) between predictions and targets, which get no gradient."""
    targets = tf.stop_gradient(_directions(targets))
    return tf.reduce_sum(_directions(predictions) * targets, axis=-1)


def _directions(vectors: Any) -> Any:
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)


def _spread(vectors: Any) -> Any:
    """Return the root of the summed variances of the vectors' directions."""
    variances = tf.math.reduce_variance(all_rows(_directions(vectors)), axis=0)
    return tf.sqrt(tf.reduce_sum(tf.stop_gradient(variances)))
