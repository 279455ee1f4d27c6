"""Wasserstein GAN with gradient penalty: a critic estimates a distance, a generator reduces it."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge

from fitx.step import Step
from fitx.steps import register


@register
class WGANGP(Step):
    """Train a generator against a critic whose gradient has a norm near 1.

    Batches: real samples `x` (batch, ...); labels and weights in a batch are ignored. Each batch
    updates the critic `n_critic` times, with new latent vectors each time, and then the generator
    once.

    Logged are `critic_loss` = mean score of generated samples - mean score of real ones +
    gp_weight * `gradient_penalty`, as means over the updates and the examples, and
    `generator_loss`, the negative mean score of generated samples.

    After Gulrajani et al. 2017, arXiv:1704.00028. The norm is taken over all values of each
    example, and its root is safe at a gradient of zero, where published versions give NaN. A
    critic with batch normalization has no gradient per example; use layer normalization.

    Args:
        critic: Network from samples to scores (batch, 1); high means real.
        generator: Network from latent vectors (batch, latent_dim) to samples like `x`.
        seed: Seed of the latent vectors and of the penalty's samples; by default the experiment's.
        n_critic: Number of updates of the critic per batch.
        gp_weight: Weight of the gradient penalty.
    """

    USES = ()
    LOGS = ("critic_loss", "gradient_penalty", "generator_loss")

    def __init__(
        self,
        critic: keras.Model,
        generator: keras.Model,
        *,
        seed: int,
        n_critic: Annotated[int, Ge(1)] = 3,
        gp_weight: Annotated[float, Ge(0)] = 10.0,
    ) -> None:
        super().__init__(critic=critic, generator=generator)
        self.latent_dim = generator.input_shape[-1]
        self.n_critic = n_critic
        self.gp_weight = gp_weight
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update the critic several times, then the generator."""
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        updates = [self._update_critic(real) for _ in range(self.n_critic)]
        latent = self._latent(real, self.seed_generator)
        with tf.GradientTape() as tape:
            scores = self._scores(self.generator(latent, training=True), training=True)
            generator_loss = -tf.reduce_mean(scores)
        self.minimize(generator_loss, tape, "generator")
        means = {name: sum(u[name] for u in updates) / self.n_critic for name in updates[0]}
        return {**means, "generator_loss": generator_loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the losses on one batch, with the same random numbers each time."""
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        fake = self.generator(self._latent(real, self.seed), training=False)
        values = self._critic_losses(real, fake, seed=self.seed, training=False)
        scores = self._scores(fake, training=False)
        return {**values, "generator_loss": -tf.reduce_mean(scores)}

    def _update_critic(self, real: Any) -> dict[str, Any]:
        fake = self.generator(self._latent(real, self.seed_generator), training=True)
        with tf.GradientTape() as tape:
            values = self._critic_losses(real, fake, seed=self.seed_generator, training=True)
        self.minimize(values["critic_loss"], tape, "critic")
        return values

    def _critic_losses(self, real: Any, fake: Any, *, seed: Any, training: bool) -> dict[str, Any]:
        real = tf.cast(real, fake.dtype)
        distance = tf.reduce_mean(self._scores(real, training=training))
        distance -= tf.reduce_mean(self._scores(fake, training=training))
        penalty = self._penalty(real, fake, seed=seed, training=training)
        loss = self.gp_weight * penalty - distance
        return {"critic_loss": loss, "gradient_penalty": penalty}

    def _penalty(self, real: Any, fake: Any, *, seed: Any, training: bool) -> Any:
        """Return the mean of (norm - 1)^2 on lines between real and generated samples."""
        ones = (1,) * (len(real.shape) - 1)

        def draw(rows: Any) -> Any:
            return keras.random.uniform((rows, *ones), seed=seed)

        share = tf.cast(self.per_example(real, draw), real.dtype)
        between = share * real + (1 - share) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self._scores(between, training=training)
        slopes = tf.cast(tape.gradient(scores, between), tf.float32)
        squares = tf.reduce_sum(slopes**2, axis=tuple(range(1, len(real.shape))))
        return tf.reduce_mean((tf.sqrt(tf.maximum(squares, 1e-12)) - 1) ** 2)

    def _scores(self, samples: Any, *, training: bool) -> Any:
        return tf.cast(self.critic(samples, training=training), tf.float32)

    def _latent(self, real: Any, seed: Any) -> Any:
        def draw(rows: Any) -> Any:
            return keras.random.normal((rows, self.latent_dim), seed=seed)

        return self.per_example(real, draw)
