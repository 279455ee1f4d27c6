"""The base of steps that train a student on augmented examples, beside a teacher."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.engine.replicas.shared_steps import all_rows
from fitx.step import Step


class StudentAndTeacher(Step):
    """Augments examples, and measures the networks `student` and `teacher` on labelled ones."""

    def _view(self, x: Any) -> Any:
        # Every device augments the whole batch, so that views do not depend on their number.
        return self.per_example(x, lambda _: self.augmenter(all_rows(x), training=True))

    def _accuracies(self, x: Any, y: Any) -> dict[str, Any]:
        networks = {"accuracy": self.student, "teacher_accuracy": self.teacher}
        accuracy = keras.metrics.sparse_categorical_accuracy
        return {
            name: tf.reduce_mean(accuracy(y, network(x, training=False)))
            for name, network in networks.items()
        }
