"""Adversarial training: minimizes the loss on inputs that are changed to maximize it."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Gt

from fitx.step import Step
from fitx.steps import register


@register
class Adversarial(Step):
    """Train a classifier on the worst inputs within a small distance, found by gradient ascent.

    Batches: `(x, y)`, with `x` (batch, ...) and class numbers y (batch,). The network is to return
    logits: the gradient of a loss of probabilities vanishes where a network is certain, and the
    attack fails. An attack changes each value of x by at most epsilon. Each of its steps moves
    along the sign of the gradient of the loss, by epsilon for an attack of one step, which is the
    fast gradient sign method (FGSM), else by 2.5 * epsilon / steps, which is projected gradient
    descent (PGD). In training it starts at a random point, unless it has one step.

    Logged are `loss`, that of attacked inputs, `clean_accuracy` of the inputs as they are and
    `robust_accuracy` of attacked ones, all as means over examples. Evaluation attacks with
    `evaluation_steps` from x itself, the same in each epoch.

    After Goodfellow, Shlens and Szegedy 2015, "Explaining and Harnessing Adversarial Examples",
    arXiv:1412.6572, and Madry, Makelov, Schmidt, Tsipras and Vladu 2018, "Towards Deep Learning
    Models Resistant to Adversarial Attacks", arXiv:1706.06083.

    Traps that it avoids: robustness that is measured with the attack of the training, which a
    network trained with FGSM can withstand without being robust; attacks that update statistics of
    batch normalization or see dropout; inputs outside their range; and gradients that flow through
    the attack.

    Args:
        model: Network from `x` to logits (batch, classes).
        seed: Seed of the attacks' starting points; by default the experiment's.
        epsilon: The largest change of a value of x.
        steps: Number of steps of an attack in training; with 0 the inputs stay as they are.
        evaluation_steps: Number of steps of an attack in evaluation.
        low: The smallest value that x can have.
        high: The largest value that x can have.
    """

    USES = ("loss",)
    LOGS = ("loss", "clean_accuracy", "robust_accuracy")

    def __init__(
        self,
        model: keras.Model,
        *,
        seed: int,
        epsilon: Annotated[float, Gt(0)] = 0.1,
        steps: Annotated[int, Ge(0)] = 5,
        evaluation_steps: Annotated[int, Ge(1)] = 10,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__(model=model)
        self.epsilon = epsilon
        self.steps, self.evaluation_steps = steps, evaluation_steps
        self.low, self.high = low, high
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step on the attacked inputs of one batch."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        start = x + self._noise(x) if self.steps > 1 else x
        attacked = self.attack(x, y, start, self.steps)
        with tf.GradientTape() as tape:
            y_pred = self.model(attacked, training=True)
            loss = self.compute_loss(x, y, y_pred, weight)
        self.minimize(loss, tape, "model")
        return {"loss": loss, **self._accuracies(x, y, y_pred)}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch, clean and attacked."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self.model(self.attack(x, y, x, self.evaluation_steps), training=False)
        loss = self.compute_loss(x, y, y_pred, weight, training=False)
        return {"loss": loss, **self._accuracies(x, y, y_pred)}

    def attack(self, x: Any, y: Any, start: Any, steps: int) -> Any:
        """Return inputs within epsilon of x and within their range, with a higher loss."""
        low = tf.maximum(x - self.epsilon, self.low)
        high = tf.minimum(x + self.epsilon, self.high)
        attacked = tf.clip_by_value(start, low, high)
        size = self.epsilon if steps == 1 else 2.5 * self.epsilon / max(steps, 1)
        for _ in range(steps):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(attacked)
                loss = self.compute_loss(x, y, self.model(attacked, training=False))
            direction = tf.sign(tape.gradient(loss, attacked))
            attacked = tf.clip_by_value(attacked + size * direction, low, high)
        return tf.stop_gradient(attacked)

    def _noise(self, x: Any) -> Any:
        def draw(rows: Any) -> Any:
            shape = (rows, *x.shape[1:])
            return keras.random.uniform(
                shape, -self.epsilon, self.epsilon, seed=self.seed_generator
            )

        return self.per_example(x, draw)

    def _accuracies(self, x: Any, y: Any, robust_answer: Any) -> dict[str, Any]:
        clean_answer = self.model(x, training=False)
        answers = {"clean_accuracy": clean_answer, "robust_accuracy": robust_answer}
        accuracy = keras.metrics.sparse_categorical_accuracy
        return {name: tf.reduce_mean(accuracy(y, answer)) for name, answer in answers.items()}
