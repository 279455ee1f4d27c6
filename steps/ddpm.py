"""Denoising diffusion: a network learns to remove noise, and draws by removing all of it."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Ge, Lt

from fitx.step import Step
from fitx.steps import register


@register
class DDPM(Step):
    """Train a network to find the noise in images, and average its weights.

    Batches: images `x` (batch, height, width, channels) in [0, 1]; labels and weights in a batch
    are ignored. Each image gets the noise of a random timestep, by the linear schedule of the
    paper, which is scaled from 1,000 timesteps. Logged is `loss`, the mean squared error of the
    noise, as a mean over examples; in tests that of the averaged network, at evenly spread
    timesteps with the same noise in each evaluation. `sample_images` draws with the averaged
    network.

    After Ho et al. 2020, arXiv:2006.11239. In Keras 3 a published version logs a loss of 0.0. The
    sampler adds new noise in each timestep; with a number as the seed of `keras.random` it would
    add the same.

    Args:
        model: Network from noisy images and timesteps, as shares (batch, 1) in (0, 1], to the
            noise.
        average: The average of the network's weights: `{copy_of: model}`.
        seed: Seed of the timesteps and the noise; by default the experiment's.
        timesteps: Number of timesteps from an image to noise alone.
        decay: Share of the average that stays with each step; less in the first steps.
    """

    USES = ()
    LOGS = ("loss",)

    def __init__(
        self,
        model: keras.Model,
        average: keras.Model,
        *,
        seed: int,
        timesteps: Annotated[int, Ge(25)] = 200,
        decay: Annotated[float, Ge(0), Lt(1)] = 0.999,
    ) -> None:
        super().__init__(model=model, average=average)
        self.timesteps = timesteps
        self.decay = decay
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        betas = np.linspace(1e-4, 0.02, timesteps) * (1000 / timesteps)
        # The share of the image in the variance of a noisy image: 1 without noise, before time 0.
        self.signal = np.append(1.0, np.cumprod(1 - betas)).astype(np.float32)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step, and move the average."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)

        def draw(rows: Any) -> Any:
            return keras.random.randint((rows,), 0, self.timesteps, seed=self.seed_generator)

        time = self.per_example(x, draw)
        with tf.GradientTape() as tape:
            loss = self._loss(x, time, self.model, seed=self.seed_generator, training=True)
        self.minimize(loss, tape, "model")
        step = tf.cast(self.model_optimizer.iterations, tf.float32)
        decay = tf.minimum(self.decay, (1 + step) / (10 + step))
        for average, weight in zip(self.average.weights, self.model.weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight)
        return {"loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the loss of the averaged network."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        time = self.per_example(x, lambda rows: tf.range(rows) * self.timesteps // rows)
        return {"loss": self._loss(x, time, self.average, seed=self.seed, training=False)}

    def sample_images(self, examples: Any, seed: int) -> Any:
        """Return as many images as there are examples, from noise alone."""
        noise = tf.random.stateless_normal(tf.shape(examples), (seed, self.timesteps))

        def less_noisy(step: Any, x: Any) -> Any:
            time = self.timesteps - 1 - step
            return self._one_time_earlier(x, time, (seed, time))

        return keras.ops.fori_loop(0, self.timesteps, less_noisy, noise) / 2 + 0.5

    def _loss(self, x: Any, time: Any, network: Any, *, seed: Any, training: bool) -> Any:
        image = 2 * tf.cast(x, tf.float32) - 1

        def draw(rows: Any) -> Any:
            return keras.random.normal((rows, *x.shape[1:]), seed=seed)

        noise = self.per_example(x, draw)
        signal = tf.reshape(tf.gather(self.signal, time + 1), (-1, 1, 1, 1))
        noisy = tf.sqrt(signal) * image + tf.sqrt(1 - signal) * noise
        return tf.reduce_mean((self._noise(network, noisy, time, training) - noise) ** 2)

    def _noise(self, network: Any, noisy: Any, time: Any, training: bool) -> Any:
        share = tf.reshape(tf.cast(time + 1, tf.float32) / self.timesteps, (-1, 1))
        return tf.cast(network([noisy, share], training=training), tf.float32)

    def _one_time_earlier(self, x: Any, time: Any, seed: Any) -> Any:
        """Draw the images of one timestep earlier, in [-1, 1], given those of `time`."""
        earlier, signal = tf.gather(self.signal, time), tf.gather(self.signal, time + 1)
        noise = self._noise(self.average, x, tf.fill(tf.shape(x)[:1], time), False)
        image = tf.clip_by_value((x - tf.sqrt(1 - signal) * noise) / tf.sqrt(signal), -1, 1)
        beta = 1 - signal / earlier
        mean = tf.sqrt(earlier) * beta * image + tf.sqrt(signal / earlier) * (1 - earlier) * x
        variance = beta * (1 - earlier) / (1 - signal)
        fresh = tf.random.stateless_normal(tf.shape(x), seed)
        return mean / (1 - signal) + tf.sqrt(variance) * fresh
