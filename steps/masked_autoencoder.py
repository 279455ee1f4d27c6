"""Masked autoencoder: an encoder sees a few patches of an image, a decoder draws the others."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge, Gt, Lt

from fitx.step import Step
from fitx.steps import register


@register
class MaskedAutoencoder(Step):
    """Train an encoder to describe images by patches of them, without labels.

    Batches: images `x` (batch, height, width, channels) in [0, 1]; labels and weights in a batch
    are ignored. An image is cut into n patches. The encoder gets the visible ones alone: the
    values of a patch and its one-hot position. The decoder gets, for every position, what the
    encoder returned, or zeros and a 1 for a masked patch, and the one-hot position. The first
    layer of either, if it is dense, thus learns the embeddings of positions and of masks.

    Logged is `loss`, the mean squared error over the values of masked patches, as a mean over
    examples. Each step masks other patches; each evaluation the same.

    After He et al. 2022, arXiv:2111.06377. Visible patches do not count: a loss over all patches
    rewards copying. One published version logs the mean of the patches, weighted by the drawn
    ones, in place of the loss.

    Args:
        encoder: Network from visible patches (batch, visible, values + n) to vectors (batch,
            visible, size).
        decoder: Network from all positions (batch, n, size + 1 + n) to patches (batch, n, values).
        seed: Seed of the masks; by default the experiment's.
        patch: Height and width of a patch.
        mask_ratio: Share of the patches that is masked; rounded, and at least
            one is masked and one visible.
    """

    USES = ()
    LOGS = ("loss",)

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        seed: int,
        patch: Annotated[int, Ge(1)] = 2,
        mask_ratio: Annotated[float, Gt(0), Lt(1)] = 0.75,
    ) -> None:
        super().__init__(encoder=encoder, decoder=decoder)
        self.patch = patch
        self.mask_ratio = mask_ratio
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of both networks."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self._loss(x, self.seed_generator, training=True)
        self.minimize(loss, tape)
        return {"loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the loss on one batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return {"loss": self._loss(x, self.seed, training=False)}

    def sample_images(self, examples: Any, seed: int) -> Any:
        """Return each example beside its visible patches, and these with the drawn ones."""
        patches = self._patches(examples)
        decoded, masked = self._decoded(patches, seed, training=False)
        mask = masked[..., tf.newaxis]
        visible = patches * (1 - mask)
        columns = (patches, visible + 0.5 * mask, visible + decoded * mask)
        return tf.concat([self._images(column, examples.shape) for column in columns], axis=2)

    def _loss(self, x: Any, seed: Any, *, training: bool) -> Any:
        patches = self._patches(x)
        decoded, masked = self._decoded(patches, seed, training=training)
        errors = tf.reduce_mean((decoded - patches) ** 2, axis=-1)
        # As many patches of each example are masked.
        return tf.reduce_sum(errors * masked) / tf.reduce_sum(masked)

    def _decoded(self, patches: Any, seed: Any, *, training: bool) -> tuple[Any, Any]:
        """Return all patches as the decoder draws them, and 1 for each masked one."""
        count = patches.shape[1]
        visible = max(1, count - max(1, round(count * self.mask_ratio)))

        def draw(rows: Any) -> Any:
            return keras.random.uniform((rows, count), seed=seed)

        # A random order of each example's patches; the first ones are visible.
        order = tf.argsort(self.per_example(patches, draw), axis=1)
        ranks = tf.argsort(order, axis=1)
        masked = tf.cast(ranks >= visible, tf.float32)
        positions = tf.ones_like(patches[..., :1]) * tf.eye(count)
        tokens = tf.concat([patches, positions], axis=-1)
        tokens = tf.gather(tokens, order[:, :visible], batch_dims=1)
        encoded = tf.cast(self.encoder(tokens, training=training), tf.float32)
        encoded = tf.pad(encoded, ((0, 0), (0, count - visible), (0, 0)))
        encoded = tf.gather(encoded, ranks, batch_dims=1)
        inputs = tf.concat([encoded, masked[..., tf.newaxis], positions], axis=-1)
        return tf.cast(self.decoder(inputs, training=training), tf.float32), masked

    def _patches(self, x: Any) -> Any:
        """Return images as patches (batch, n, values), row by row."""
        size = self.patch
        _, height, width, channels = x.shape
        if height % size or width % size:
            text = f"patches of {size}x{size} do not fill images of {height}x{width}"
            raise ValueError(text)
        shape = (-1, height // size, size, width // size, size, channels)
        split = tf.transpose(tf.reshape(tf.cast(x, tf.float32), shape), (0, 1, 3, 2, 4, 5))
        values = size * size * channels
        return tf.reshape(split, (-1, height * width * channels // values, values))

    def _images(self, patches: Any, shape: Any) -> Any:
        """Return patches as images of the given shape (batch, height, width, channels)."""
        size = self.patch
        _, height, width, channels = shape
        split = (-1, height // size, width // size, size, size, channels)
        rows = tf.transpose(tf.reshape(patches, split), (0, 1, 3, 2, 4, 5))
        return tf.reshape(rows, (-1, height, width, channels))
