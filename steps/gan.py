"""The guide's GAN: one update of the discriminator, then one of the generator, per batch."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Lt

from fitx.step import Step
from fitx.steps import register


@register
class GAN(Step):
    """Train a generator against a discriminator, one update of each per batch.

    Batches: real samples `x` (batch, ...); labels and weights in a batch are ignored.
    The discriminator learns to give high logits to generated samples and low ones to real
    samples; its labels are noisy. Logged are `d_loss` and `g_loss`, means over all examples.

    After Goodfellow et al. 2014, arXiv:1406.2661, with the non-saturating generator loss, as
    in "Customizing what happens in fit()":
    https://keras.io/guides/custom_train_step_in_tensorflow/

    Args:
        discriminator: Network from samples to logits (batch, 1); high means generated.
        generator: Network from latent vectors (batch, latent_dim) to samples like `x`.
        seed: Seed of the latent vectors and of the label noise; by default the experiment's.
        label_noise: Upper bound of the noise added to the labels 0 and 1.
    """

    USES = ()
    LOGS = ("d_loss", "g_loss")

    def __init__(
        self,
        discriminator: keras.Model,
        generator: keras.Model,
        *,
        seed: int,
        label_noise: Annotated[float, Ge(0), Lt(1)] = 0.05,
    ) -> None:
        super().__init__(discriminator=discriminator, generator=generator)
        self.latent_dim = generator.input_shape[-1]
        self.label_noise = label_noise
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update the discriminator on generated and real samples, then the generator."""
        real = data[0] if isinstance(data, tuple) else data
        samples, labels = self._mixed(real)
        labels += self.label_noise * self._noise(real)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(samples, training=True))
        self.minimize(d_loss, tape, "discriminator")

        latent = self._latent(real)
        with tf.GradientTape() as tape:
            verdict = self.discriminator(self.generator(latent, training=True), training=True)
            g_loss = self.loss_fn(tf.zeros_like(verdict), verdict)
        self.minimize(g_loss, tape, "generator")
        return {"d_loss": d_loss, "g_loss": g_loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure both losses on one batch, with clean labels and without an update."""
        real = data[0] if isinstance(data, tuple) else data
        samples, labels = self._mixed(real, training=False)
        verdict = self.discriminator(samples, training=False)
        fooled = verdict[: tf.shape(real)[0]]
        return {
            "d_loss": self.loss_fn(labels, verdict),
            "g_loss": self.loss_fn(tf.zeros_like(fooled), fooled),
        }

    def _mixed(self, real: Any, *, training: bool = True) -> tuple[Any, Any]:
        """Return as many generated samples as real ones, then those; labels 1 for generated."""
        generated = self.generator(self._latent(real), training=training)
        ones = tf.ones((tf.shape(real)[0], 1))
        samples = tf.concat([generated, tf.cast(real, generated.dtype)], axis=0)
        return samples, tf.concat([ones, tf.zeros_like(ones)], axis=0)

    def _latent(self, real: Any) -> Any:
        def draw(rows: Any) -> Any:
            return keras.random.normal((rows, self.latent_dim), seed=self.seed_generator)

        return self.per_example(real, draw)

    def _noise(self, real: Any) -> Any:
        """Return numbers from 0 to 1 for as many generated samples as real ones, then those."""

        def draw(rows: Any) -> Any:
            both = keras.random.uniform((2, rows), seed=self.seed_generator)
            return tf.transpose(both)

        return tf.reshape(tf.transpose(self.per_example(real, draw)), (-1, 1))
