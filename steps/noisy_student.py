"""Noisy student: a network learns, under noise, from the answers of a trained one."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Lt

from fitx.engine.replicas.shared_steps import mean_of_replicas
from fitx.steps import register
from fitx.steps._student_and_teacher import StudentAndTeacher


@register
class NoisyStudent(StudentAndTeacher):
    """Train a student, with noise, on a few labels and on a teacher's answers without noise.

    Batches: `{labelled: (x, y), unlabelled: x}`, with `x` (batch, ...) and class numbers y
    (batch,), from two datasets side by side; labels of the second are ignored. The teacher, which
    starts with the weights of a run, see `after`, answers with probabilities to unlabelled examples
    as they are. Those whose largest probability is at least `confidence` become labels. The student
    sees augmented examples, and may have dropout; it is at least as large as the teacher. The loss
    is the mean cross-entropy over the labelled examples and the confident ones together.

    Logged are `loss`; `confident_share`, the share of unlabelled examples that are used; `accuracy`
    of the student and `teacher_accuracy`, both on the labelled examples. In evaluation `loss` is
    the cross-entropy of the student on labelled examples, and the share is that of unlabelled ones.

    After Xie, Luong, Hovy and Le 2020, "Self-training with Noisy Student improves ImageNet
    classification", arXiv:1911.04252, with soft labels. Labels are not balanced. For the next
    generation, a new run starts with the student as its teacher.

    Traps that it avoids: a teacher that is trained, or answers with dropout or augmentation, so
    that the student learns noise; a division by the number of all examples where few are
    confident; and a gradient through the teacher.

    Args:
        augmenter: Network of random layers from `x` to a view of it; it has no optimizer.
        student: Network from `x` to logits (batch, classes).
        teacher: Network from `x` to logits (batch, classes); it has no optimizer.
        confidence: The smallest probability of a teacher's answer that the student learns from.
    """

    USES = ()
    LOGS = ("loss", "confident_share", "accuracy", "teacher_accuracy")

    def __init__(
        self,
        augmenter: keras.Model,
        student: keras.Model,
        teacher: keras.Model,
        *,
        confidence: Annotated[float, Ge(0), Lt(1)] = 0.5,
    ) -> None:
        super().__init__(augmenter=augmenter, student=student, teacher=teacher)
        self.confidence = confidence

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of the student."""
        x, y = data["labelled"]
        unlabelled, _, _ = keras.utils.unpack_x_y_sample_weight(data["unlabelled"])
        answers, is_used = self._answers(unlabelled)
        labels = tf.concat([tf.one_hot(tf.reshape(y, (-1,)), answers.shape[-1]), answers], axis=0)
        weights = tf.concat([tf.ones_like(labels[: tf.shape(y)[0], 0]), is_used], axis=0)
        (mean_weight,) = mean_of_replicas([tf.reduce_mean(weights)])
        views = tf.concat([self._view(x), self._view(unlabelled)], axis=0)
        with tf.GradientTape() as tape:
            losses = _cross_entropies(labels, self.student(views, training=True))
            loss = tf.reduce_mean(weights * losses) / mean_weight
        self.minimize(loss, tape, "student")
        return {"loss": loss, "confident_share": tf.reduce_mean(is_used), **self._accuracies(x, y)}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure both networks on labelled examples as they are."""
        x, y = data["labelled"]
        unlabelled, _, _ = keras.utils.unpack_x_y_sample_weight(data["unlabelled"])
        logits = self.student(x, training=False)
        labels = tf.one_hot(tf.reshape(y, (-1,)), logits.shape[-1])
        loss = tf.reduce_mean(_cross_entropies(labels, logits))
        share = tf.reduce_mean(self._answers(unlabelled)[1])
        return {"loss": loss, "confident_share": share, **self._accuracies(x, y)}

    def _answers(self, x: Any) -> tuple[Any, Any]:
        """Return the teacher's probabilities (batch, classes), and 1 for each confident answer."""
        logits = tf.cast(self.teacher(x, training=False), tf.float32)
        answers = tf.stop_gradient(tf.nn.softmax(logits))
        is_used = tf.reduce_max(answers, axis=-1) >= self.confidence
        return answers, tf.cast(is_used, tf.float32)


def _cross_entropies(labels: Any, logits: Any) -> Any:
    logits = tf.cast(logits, tf.float32)
    return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
