"""Conditional GAN: a generator draws samples of the class that it is given."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.step import Step
from fitx.steps import register


@register
class ConditionalGAN(Step):
    """Train a generator and a discriminator that both see the class of a sample.

    Batches: `(x, y)` of real samples (batch, ...) and their classes, whole numbers from 0
    (batch,) or (batch, 1); weights in a batch are ignored. The generator gets the one-hot class
    beside a latent vector. The discriminator gets it as further channels, which repeat it at each
    position of an image, and learns to give high logits to real samples of that class.

    Logged are `d_loss` and `g_loss`, means over all examples.

    After Mirza and Osindero 2014, arXiv:1411.1784, with the non-saturating generator loss.
    Generated samples have the classes of the real ones in the batch, in training as in tests: a
    discriminator that is shown other classes than in the data tells by the class alone.

    Args:
        discriminator: Network from samples with classes (batch, ..., channels + classes) to
            logits (batch, 1); high means real.
        generator: Network from latent vectors with classes (batch, latent_dim + classes) to
            samples like `x`.
        seed: Seed of the latent vectors; by default the experiment's.
    """

    USES = ()
    LOGS = ("d_loss", "g_loss")

    def __init__(self, discriminator: keras.Model, generator: keras.Model, *, seed: int) -> None:
        super().__init__(discriminator=discriminator, generator=generator)
        self.classes = discriminator.input_shape[-1] - generator.output_shape[-1]
        self.latent_dim = generator.input_shape[-1] - self.classes
        if min(self.classes, self.latent_dim) < 1:
            raise ValueError(
                f"the discriminator takes {discriminator.input_shape[-1]} channels, the generator "
                f"takes {generator.input_shape[-1]} numbers and draws "
                f"{generator.output_shape[-1]} channels; expected channels + classes, and latent "
                "numbers + classes."
            )
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update the discriminator on generated and real samples, then the generator."""
        real, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        fake = self._draw(y, seed=self.seed_generator, training=True)
        with tf.GradientTape() as tape:
            d_loss = self._d_loss(real, fake, y, training=True)
        self.minimize(d_loss, tape, "discriminator")
        with tf.GradientTape() as tape:
            fake = self._draw(y, seed=self.seed_generator, training=True)
            g_loss = self._g_loss(fake, y, training=True)
        self.minimize(g_loss, tape, "generator")
        return {"d_loss": d_loss, "g_loss": g_loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure both losses on one batch, with the same latent vectors each time."""
        real, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        fake = self._draw(y, seed=self.seed, training=False)
        d_loss = self._d_loss(real, fake, y, training=False)
        return {"d_loss": d_loss, "g_loss": self._g_loss(fake, y, training=False)}

    def sample_images(self, examples: Any, seed: Any) -> Any:
        """Return one image per example, of the classes 0, 1, 2, ... and again from 0."""
        y = tf.range(tf.shape(examples)[0]) % self.classes
        return self._draw(y, seed=seed, training=False)

    def _d_loss(self, real: Any, fake: Any, y: Any, *, training: bool) -> Any:
        samples = tf.concat([tf.cast(real, fake.dtype), fake], axis=0)
        logits = self._logits(samples, tf.concat([y, y], axis=0), training=training)
        is_real = tf.concat([tf.ones((tf.shape(real)[0], 1)), tf.zeros((tf.shape(fake)[0], 1))], 0)
        return self.loss_fn(is_real, logits)

    def _g_loss(self, fake: Any, y: Any, *, training: bool) -> Any:
        logits = self._logits(fake, y, training=training)
        return self.loss_fn(tf.ones_like(logits), logits)

    def _logits(self, samples: Any, y: Any, *, training: bool) -> Any:
        """Return logits of samples, with their classes as further channels."""
        positions = samples.shape[1:-1]
        one_hot = tf.reshape(self._one_hot(y), (-1, *(1 for _ in positions), self.classes))
        planes = tf.ones_like(samples[..., :1]) * tf.cast(one_hot, samples.dtype)
        return self.discriminator(tf.concat([samples, planes], axis=-1), training=training)

    def _draw(self, y: Any, *, seed: Any, training: bool) -> Any:
        """Return a generated sample of each class."""

        def draw(rows: Any) -> Any:
            return keras.random.normal((rows, self.latent_dim), seed=seed)

        latent = tf.concat([self.per_example(y, draw), self._one_hot(y)], axis=-1)
        return self.generator(latent, training=training)

    def _one_hot(self, y: Any) -> Any:
        return tf.one_hot(tf.reshape(tf.cast(y, tf.int32), (-1,)), self.classes)
