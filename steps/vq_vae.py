"""Vector-quantized autoencoder: each position of an image is one of a few learned codes."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Ge

from fitx.step import Step
from fitx.steps import register


@register
class VQVAE(Step):
    """Train an encoder and a decoder with a codebook of vectors between them.

    Batches: samples `x` (batch, ...) in [0, 1]; labels and weights in a batch are ignored. Each
    vector of the encoder's output is replaced by the nearest code, which the decoder gets. The
    gradient of the decoder passes straight through to the encoder; codes move to the vectors that
    they replace.

    Logged are `loss` = `reconstruction_loss` + (1 + commitment) * `code_loss`: the mean squared
    error of the decoder, and that of the codes, which train on it with a weight of 1 and the
    encoder with a weight of `commitment`; and `perplexity`, the exponential of the entropy of the
    codes' frequencies: the number of codes in use, if all were used equally often. Losses are
    means over examples; the frequencies are those of the whole epoch, since a batch lacks codes
    that are rare.

    After van den Oord et al. 2017, arXiv:1711.00937. The codebook is a network of its own, an
    embedding, so that `decoder(codebook(numbers))` draws without this step.

    Args:
        encoder: Network from `x` to vectors (batch, ..., size), one per position.
        codebook: Network from the numbers of codes to codes, an embedding alone.
        decoder: Network from codes (batch, ..., size) to samples like `x`.
        commitment: Weight of the loss that keeps the encoder near its codes.
    """

    USES = ()
    LOGS = ("loss", "reconstruction_loss", "code_loss", "perplexity")

    def __init__(
        self,
        encoder: keras.Model,
        codebook: keras.Model,
        decoder: keras.Model,
        *,
        commitment: Annotated[float, Ge(0)] = 0.25,
    ) -> None:
        super().__init__(encoder=encoder, codebook=codebook, decoder=decoder)
        shapes = [tuple(variable.shape) for variable in codebook.variables]
        if len(shapes) != 1 or shapes[0][1:] != encoder.output_shape[-1:]:
            raise ValueError(
                f"the variables of the codebook have the shapes {shapes} and the encoder returns "
                f"vectors of size {encoder.output_shape[-1]}; expected one embedding of that size."
            )
        self.commitment = commitment
        self.perplexity = CodePerplexity(shapes[0][0])

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one descent step of all three networks."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            values = self._measured(x, training=True)
        self.minimize(values["loss"], tape)
        return values

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the same values on one batch."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._measured(x, training=False)

    def sample_images(self, examples: Any, seed: Any) -> Any:
        """Return each example beside its reconstruction."""
        vectors = tf.cast(self.encoder(examples, training=False), tf.float32)
        decoded = self.decoder(self._codes(vectors)[0], training=False)
        return tf.concat([tf.cast(examples, decoded.dtype), decoded], axis=2)

    def _measured(self, x: Any, *, training: bool) -> dict[str, Any]:
        vectors = tf.cast(self.encoder(x, training=training), tf.float32)
        codes, numbers = self._codes(vectors)
        straight_through = vectors + tf.stop_gradient(codes - vectors)
        decoded = tf.cast(self.decoder(straight_through, training=training), tf.float32)
        reconstruction_loss = tf.reduce_mean((decoded - tf.cast(x, tf.float32)) ** 2)
        code_loss = tf.reduce_mean((codes - tf.stop_gradient(vectors)) ** 2)
        commitment_loss = tf.reduce_mean((tf.stop_gradient(codes) - vectors) ** 2)
        loss = reconstruction_loss + code_loss + self.commitment * commitment_loss
        self.perplexity.update_state(numbers)
        return {
            "loss": loss,
            "reconstruction_loss": reconstruction_loss,
            "code_loss": code_loss,
            "perplexity": self.perplexity.result(),
        }

    def _codes(self, vectors: Any) -> tuple[Any, Any]:
        """Return the code nearest to each vector, and its number."""
        table = tf.convert_to_tensor(self.codebook.variables[0])
        flat = tf.reshape(vectors, (-1, table.shape[1]))
        # The vector's own square is the same for all codes.
        distances = tf.reduce_sum(table**2, axis=1) - 2 * tf.matmul(flat, table, transpose_b=True)
        numbers = tf.argmin(distances, axis=1)
        return tf.reshape(tf.gather(table, numbers), tf.shape(vectors)), numbers


class CodePerplexity(keras.metrics.Metric):
    """The exponential of the entropy of the codes' frequencies.

    Args:
        codes: Number of codes.
    """

    def __init__(self, codes: int) -> None:
        super().__init__(name="perplexity")
        self.codes = codes
        self.counts = self.add_weight(shape=(codes,), initializer="zeros", name="counts")

    def update_state(self, numbers: Any) -> None:
        """Count the codes with the given numbers."""
        self.counts.assign_add(tf.reduce_sum(tf.one_hot(numbers, self.codes), axis=0))

    def result(self) -> Any:
        """Return the perplexity: 1 if one code is used alone."""
        shares = self.counts / tf.maximum(tf.reduce_sum(self.counts), 1.0)
        return tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares)))
