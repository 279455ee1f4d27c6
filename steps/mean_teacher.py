"""Mean teacher: a network agrees with the average of its own weights on unlabelled examples."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Lt

from fitx.steps import register
from fitx.steps._student_and_teacher import StudentAndTeacher


@register
class MeanTeacher(StudentAndTeacher):
    """Train a student on a few labels, and to agree with the average of its weights, the teacher.

    Batches: `{labelled: (x, y), unlabelled: x}`, with `x` (batch, ...) and class numbers y
    (batch,), from two datasets side by side; labels of the second are ignored. The loss is the
    cross-entropy of the labelled examples plus the consistency weight times the mean squared
    difference between the student's and the teacher's probabilities of all examples, which both
    see in a view of their own. The weight grows to `consistency` in the first `ramp_up` steps,
    as exp(-5 (1 - t)^2). After each step the teacher's weights move to the student's.

    Logged are `loss`, the cross-entropy of the student on labelled examples,
    `consistency_loss`, without its weight, `accuracy` of the student and `teacher_accuracy`, as
    means over the labelled examples.

    After Tarvainen and Valpola 2017, "Mean teachers are better role models", arXiv:1703.01780.

    Traps that it avoids: an average that starts at weights of its own or is slow to leave them,
    so that it begins with a small decay; statistics of batch normalization that are not averaged;
    a gradient through the teacher; and an average that checkpoints do not hold.

    Args:
        augmenter: Network of random layers from `x` to a view of it; it has no optimizer.
        student: Network from `x` to logits (batch, classes).
        teacher: The average of the student's weights: `{copy_of: student}`.
        decay: Share of the average that stays with each step; in step n at most 1 - 1 / (n + 1).
        consistency: Weight of the consistency loss after `ramp_up` steps.
        ramp_up: Number of steps in which that weight grows.
    """

    USES = ()
    LOGS = ("loss", "consistency_loss", "accuracy", "teacher_accuracy")

    def __init__(
        self,
        augmenter: keras.Model,
        student: keras.Model,
        teacher: keras.Model,
        *,
        decay: Annotated[float, Ge(0), Lt(1)] = 0.99,
        consistency: Annotated[float, Ge(0)] = 10.0,
        ramp_up: Annotated[int, Ge(0)] = 200,
    ) -> None:
        super().__init__(augmenter=augmenter, student=student, teacher=teacher)
        self.decay = decay
        self.consistency = consistency
        self.ramp_up = ramp_up
        self.loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of the student, and move the teacher towards it."""
        x, y = data["labelled"]
        unlabelled, _, _ = keras.utils.unpack_x_y_sample_weight(data["unlabelled"])
        both = [(self._view(x), self._view(unlabelled)) for _ in range(2)]
        views, other_views = (tf.concat(pair, axis=0) for pair in both)
        step = tf.cast(self.student_optimizer.iterations, tf.float32)
        target = tf.nn.softmax(self.teacher(other_views, training=False))
        with tf.GradientTape() as tape:
            logits = self.student(views, training=True)
            loss = self.loss_fn(y, logits[: tf.shape(y)[0]])
            consistency_loss = _squared_differences(tf.nn.softmax(logits), target)
            total = loss + self._consistency_weight(step) * consistency_loss
        self.minimize(total, tape, "student")
        self._move_teacher(step + 1)
        return {**self._accuracies(x, y), "loss": loss, "consistency_loss": consistency_loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure both networks on labelled examples as they are."""
        x, y = data["labelled"]
        logits, target = (n(x, training=False) for n in (self.student, self.teacher))
        difference = _squared_differences(tf.nn.softmax(logits), tf.nn.softmax(target))
        values = {"loss": self.loss_fn(y, logits), "consistency_loss": difference}
        return {**self._accuracies(x, y), **values}

    def _consistency_weight(self, step: Any) -> Any:
        missing = 1 - tf.minimum(step / max(self.ramp_up, 1), 1.0) if self.ramp_up else 0.0
        return self.consistency * tf.exp(-5.0 * missing**2)

    def _move_teacher(self, steps_done: Any) -> None:
        decay = tf.minimum(self.decay, 1 - 1 / (steps_done + 1))
        for average, weight in zip(self.teacher.weights, self.student.weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight)


def _squared_differences(probabilities: Any, target: Any) -> Any:
    return tf.reduce_mean((probabilities - tf.stop_gradient(target)) ** 2)
