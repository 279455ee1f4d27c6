"""Sharpness-aware minimization: descends the gradient at nearby weights of higher loss."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Gt

from fitx.engine.replicas.shared_steps import mean_of_replicas
from fitx.step import Step
from fitx.steps import register


@register
class SAM(Step):
    """Train one network with the gradient at the worst weights within a small distance.

    Batches: `(x, y)` or `(x, y, sample_weight)`, with `x` (batch, ...). Each step computes the
    gradient g of the loss at the weights w, then the gradient at `w + rho * g / |g|`, where |g| is
    the norm over all weights, and applies the second gradient at w.

    Logged is `loss`, the mean over examples at w, not at the shifted weights.

    After Foret, Kleiner, Mobahi and Neyshabur 2021, "Sharpness-Aware Minimization for Efficiently
    Improving Generalization", arXiv:2010.01412.

    Traps that it avoids: a second pass before the weights are shifted, which is plain descent; a
    shift divided by the norm of the weights instead of the gradient's; weights that do not return
    exactly to w; and statistics of batch normalization that are updated twice. The second pass uses
    shifted copies of the weights and the statistics and dropout masks of the first.

    Args:
        model: Network from `x` to predictions.
        rho: Distance between the weights and those at which the gradient is taken.
    """

    USES = ("loss", "metrics")
    LOGS = ("loss",)

    def __init__(self, model: keras.Model, *, rho: Annotated[float, Gt(0)] = 0.05) -> None:
        super().__init__(model=model)
        self.rho = rho

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step with the gradient of one batch at the shifted weights."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        weights = self.model.trainable_variables
        other_state = [tf.convert_to_tensor(v) for v in self.model.non_trainable_variables]
        with tf.GradientTape() as tape:
            y_pred = self.model(x, training=True)
            loss = self.compute_loss(x, y, y_pred, weight)
        # Under float16 small gradients would vanish; the shifts do not depend on the scale.
        scale = tf.cast(self.optimizer.scale_loss(tf.ones(())), loss.dtype)
        shifts = self._shifts(tape.gradient(loss, weights, scale, "zero"))
        with tf.GradientTape() as tape:
            shifted = [w + shift for w, shift in zip(weights, shifts, strict=True)]
            y_worst, _ = self.model.stateless_call(shifted, other_state, x, training=True)
            worst_loss = self.compute_loss(x, y, y_worst, weight)
        self.minimize(worst_loss, tape, "model")
        return {**self.compute_metrics(x, y, y_pred, weight), "loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch with the weights as they are."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self.model(x, training=False)
        loss = self.compute_loss(x, y, y_pred, weight, training=False)
        return {**self.compute_metrics(x, y, y_pred, weight), "loss": loss}

    def _shifts(self, gradients: list[Any]) -> list[Any]:
        gradients = mean_of_replicas([tf.convert_to_tensor(g) for g in gradients])
        norm = tf.linalg.global_norm(gradients)
        return [tf.math.divide_no_nan(self.rho * g, norm) for g in gradients]
