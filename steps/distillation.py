"""Knowledge distillation: a network learns from the softened answers of a trained one."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Gt, Le

from fitx.step import Step
from fitx.steps import register


@register
class Distillation(Step):
    """Train a student on the labels and on the answers of a teacher, which stays as it is.

    Batches: `(x, y)` or `(x, y, sample_weight)`, with `x` (batch, ...). Both networks return
    logits. The loss is `label_share` times the experiment's loss plus `1 - label_share` times
    `temperature^2 * KL(teacher || student)`, the divergence of the softmax of both networks' logits
    divided by the temperature. The teacher starts with the weights of a run, see `after`.

    Logged is `loss`, a mean over examples. The experiment's metrics are those of the student.

    After Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network",
    arXiv:1503.02531.

    Traps that it avoids: probabilities that are softened as if they were logits, which is refused;
    a divergence without the factor temperature^2, which shrinks as the temperature grows; and a
    teacher that is trained, sees dropout, or updates its statistics.

    Args:
        student: Network from `x` to logits (batch, classes).
        teacher: Network from `x` to logits (batch, classes); it has no optimizer.
        temperature: Divisor of the logits.
        label_share: Weight of the experiment's loss; 1 trains without the teacher.
    """

    USES = ("loss", "metrics")
    LOGS = ("loss",)

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        temperature: Annotated[float, Gt(0)] = 4.0,
        label_share: Annotated[float, Ge(0), Le(1)] = 0.1,
    ) -> None:
        super().__init__(student=student, teacher=teacher)
        self.temperature = temperature
        self.label_share = label_share

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of the student."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self.student(x, training=True)
            loss = self._loss(x, y, y_pred, weight)
        self.minimize(loss, tape, "student")
        return {**self.compute_metrics(x, y, y_pred, weight), "loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the same values on one batch."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self.student(x, training=False)
        loss = self._loss(x, y, y_pred, weight)
        return {**self.compute_metrics(x, y, y_pred, weight), "loss": loss}

    def _loss(self, x: Any, y: Any, y_pred: Any, weight: Any) -> Any:
        if getattr(self.loss, "from_logits", False) is not True:
            raise ValueError(
                "it needs networks that return logits; add `from_logits: true` to loss."
            )
        answer = tf.stop_gradient(self.teacher(x, training=False))
        log_p, log_q = (
            tf.nn.log_softmax(tf.cast(logits, tf.float32) / self.temperature)
            for logits in (answer, y_pred)
        )
        divergences = tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)
        if weight is not None:
            divergences *= tf.reshape(tf.cast(weight, tf.float32), (-1,))
        divergence = self.temperature**2 * tf.reduce_mean(divergences)
        label_loss = self.compute_loss(x, y, y_pred, weight)
        return self.label_share * label_loss + (1 - self.label_share) * divergence
