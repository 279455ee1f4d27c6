"""Variational autoencoder: a latent space from which new samples can be drawn."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge

from fitx.step import Step
from fitx.steps import register


@register
class VAE(Step):
    """Train an encoder and a decoder by the evidence lower bound.

    Batches: samples `x` (batch, ...) in [0, 1]; labels and weights in a batch are ignored. The
    encoder returns the mean and the logarithm of the variance of a normal distribution of latent
    vectors; the decoder returns the probability of each value of `x` from one of them.

    Logged are `loss` = `reconstruction_loss` + beta * `kl_loss`: the binary cross-entropy in
    nats, summed over the values of an example, and the divergence from the standard normal
    distribution, in closed form. All are means over the examples. In tests the latent vectors are
    drawn with the same noise each time, so that epochs can be compared.

    After Kingma and Welling 2013, arXiv:1312.6114; with beta after Higgins et al. 2017. The
    reconstruction is a sum: a mean over values would weight the divergence by their number. A
    published version has no test_step and cannot be evaluated.

    Args:
        encoder: Network from `x` to means and log variances, side by side (batch, 2 * latent).
        decoder: Network from latent vectors (batch, latent) to probabilities, shaped as `x`.
        seed: Seed of the latent vectors; by default the experiment's.
        beta: Weight of the divergence; 1 for the evidence lower bound.
    """

    USES = ()
    LOGS = ("loss", "reconstruction_loss", "kl_loss")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        seed: int,
        beta: Annotated[float, Ge(0)] = 1.0,
    ) -> None:
        super().__init__(encoder=encoder, decoder=decoder)
        self.beta = beta
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of both networks."""
        with tf.GradientTape() as tape:
            values = self._measured(data, seed=self.seed_generator, training=True)
        self.minimize(values["loss"], tape)
        return values

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the same losses on one batch."""
        return self._measured(data, seed=self.seed, training=False)

    def _measured(self, data: Any, *, seed: Any, training: bool) -> dict[str, Any]:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        encoded = tf.cast(self.encoder(x, training=training), tf.float32)
        mean, log_variance = tf.split(encoded, 2, axis=-1)

        def draw(rows: Any) -> Any:
            return keras.random.normal((rows, mean.shape[-1]), seed=seed)

        latent = mean + tf.exp(log_variance / 2) * self.per_example(x, draw)
        decoded = tf.cast(self.decoder(latent, training=training), tf.float32)
        entropies = keras.ops.binary_crossentropy(tf.cast(x, tf.float32), decoded)
        sums = tf.reduce_sum(entropies, axis=tuple(range(1, len(entropies.shape))))
        reconstruction_loss = tf.reduce_mean(sums)
        divergences = (tf.exp(log_variance) + mean**2 - 1 - log_variance) / 2
        kl_loss = tf.reduce_mean(tf.reduce_sum(divergences, axis=-1))
        loss = reconstruction_loss + self.beta * kl_loss
        return {"loss": loss, "reconstruction_loss": reconstruction_loss, "kl_loss": kl_loss}
