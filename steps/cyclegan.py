"""CycleGAN: translates images between two domains without pairs of examples."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge

from fitx.step import Step
from fitx.steps import register


@register
class CycleGAN(Step):
    """Train one generator each way, so that a translation back restores the image.

    Batches: `(x, y)`, images of one domain and of another (batch, height, width, channels); which
    `y` stands beside which `x` does not matter. Weights in a batch are ignored. The generators
    are updated together, then the discriminators, on the same translations.

    Logged are, each as the sum for both domains and as means over examples: `cycle_loss`, the mean
    absolute difference of an image and its translation there and back; `identity_loss`, that of
    an image and its translation into its own domain; `generator_loss` and `discriminator_loss`,
    the squared distances of the discriminators' outputs from 1 for what counts as real and from 0
    for translations.

    After Zhu et al. 2017, arXiv:1703.10593, without its pool of earlier translations. To the
    discriminators translations are constants, made before the update of the generators. A
    published version logs the values of the last batch as those of the epoch.

    Args:
        generator_y: Network from `x` to images like `y`.
        generator_x: Network from `y` to images like `x`.
        discriminator_x: Network from images like `x` to outputs (batch, ...), near 1 for real ones.
        discriminator_y: Network from images like `y` to such outputs.
        cycle_weight: Weight of the cycle loss.
        identity_weight: Weight of the identity loss; 0 if the domains differ in their channels.
    """

    USES = ()
    LOGS = ("cycle_loss", "identity_loss", "generator_loss", "discriminator_loss")

    def __init__(
        self,
        generator_y: keras.Model,
        generator_x: keras.Model,
        discriminator_x: keras.Model,
        discriminator_y: keras.Model,
        *,
        cycle_weight: Annotated[float, Ge(0)] = 10.0,
        identity_weight: Annotated[float, Ge(0)] = 5.0,
    ) -> None:
        super().__init__(
            generator_y=generator_y,
            generator_x=generator_x,
            discriminator_x=discriminator_x,
            discriminator_y=discriminator_y,
        )
        self.cycle_weight = cycle_weight
        self.identity_weight = identity_weight

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update both generators, then both discriminators."""
        real_x, real_y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            fake_x, fake_y = self._translated(real_x, real_y, training=True)
            values = self._losses_of_generators((real_x, real_y), (fake_x, fake_y), training=True)
            loss = self.cycle_weight * values["cycle_loss"] + values["generator_loss"]
            loss += self.identity_weight * values["identity_loss"]
        self.minimize(loss, tape, "generator_y", "generator_x")
        with tf.GradientTape() as tape:
            loss = self._loss_of_discriminators((real_x, real_y), (fake_x, fake_y), training=True)
        self.minimize(loss, tape, "discriminator_x", "discriminator_y")
        return {**values, "discriminator_loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the losses on one batch."""
        real_x, real_y, _ = keras.utils.unpack_x_y_sample_weight(data)
        real, fake = (real_x, real_y), self._translated(real_x, real_y, training=False)
        values = self._losses_of_generators(real, fake, training=False)
        loss = self._loss_of_discriminators(real, fake, training=False)
        return {**values, "discriminator_loss": loss}

    def sample_images(self, examples: Any, seed: Any) -> Any:
        """Return each example beside its translation, and this translated back."""
        there = self.generator_y(examples, training=False)
        back = self.generator_x(there, training=False)
        return tf.concat([tf.cast(examples, there.dtype), there, back], axis=2)

    def _translated(self, real_x: Any, real_y: Any, *, training: bool) -> tuple[Any, Any]:
        fake_x = self.generator_x(real_y, training=training)
        return fake_x, self.generator_y(real_x, training=training)

    def _losses_of_generators(self, real: Any, fake: Any, *, training: bool) -> dict[str, Any]:
        (real_x, real_y), (fake_x, fake_y) = real, fake
        cycle_loss = _distance(self.generator_x(fake_y, training=training), real_x)
        cycle_loss += _distance(self.generator_y(fake_x, training=training), real_y)
        identity_loss = tf.zeros(())
        if self.identity_weight:
            identity_loss += _distance(self.generator_x(real_x, training=training), real_x)
            identity_loss += _distance(self.generator_y(real_y, training=training), real_y)
        generator_loss = _square(self.discriminator_x(fake_x, training=training), 1)
        generator_loss += _square(self.discriminator_y(fake_y, training=training), 1)
        return {
            "cycle_loss": cycle_loss,
            "identity_loss": identity_loss,
            "generator_loss": generator_loss,
        }

    def _loss_of_discriminators(self, real: Any, fake: Any, *, training: bool) -> Any:
        """Return half the sum of squares for real images and for translations, which stay."""
        loss = tf.zeros(())
        networks = (self.discriminator_x, self.discriminator_y)
        for network, image, translation in zip(networks, real, fake, strict=True):
            loss += _square(network(image, training=training), 1) / 2
            loss += _square(network(translation, training=training), 0) / 2
        return loss


def _distance(a: Any, b: Any) -> Any:
    """Return the mean absolute difference."""
    return tf.reduce_mean(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32)))


def _square(verdict: Any, target: float) -> Any:
    """Return the mean squared distance from a target."""
    return tf.reduce_mean((tf.cast(verdict, tf.float32) - target) ** 2)
