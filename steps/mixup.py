"""MixUp: supervised training on weighted means of two examples."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import tensorflow as tf
from annotated_types import Gt

from fitx.steps import register
from fitx.steps._pair_mixing import PairMixing, like_rows_of


@register
class MixUp(PairMixing):
    """Train one network on weighted means of two examples, with the losses of both labels.

    Batches: `(x, y)` or `(x, y, sample_weight)`, with `x` (batch, ...) and labels of any form that
    the experiment's loss takes. Each example is mixed with the next one of the batch, the last
    with the first: `share * x + (1 - share) * next_x`. The share is drawn from Beta(alpha, alpha)
    for each example. The loss is `share * loss(y) + (1 - share) * loss(next_y)`. Evaluation does
    not mix.

    Logged is `loss`, a mean over examples. In training, metrics compare predictions with the label
    of the larger share.

    After Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: Beyond Empirical Risk Minimization",
    arXiv:1710.09412.

    Traps that it avoids: shares that are NaN, since both of the Gamma numbers behind a Beta number
    underflow when alpha is small; one share for a whole batch; losses of layers that are added once
    for each label; and shares that repeat every epoch.

    Args:
        model: Network from `x` to predictions.
        seed: Seed of the shares; by default the experiment's.
        alpha: Both parameters of the Beta distribution; 1 draws shares uniformly, and small values
            draw shares close to 0 or 1.
    """

    USES = ("loss", "metrics")
    LOGS = ("loss",)

    def __init__(
        self, model: keras.Model, *, seed: int, alpha: Annotated[float, Gt(0)] = 0.2
    ) -> None:
        super().__init__(model)
        self.alpha = alpha
        self.seed_generator = keras.random.SeedGenerator(seed)

    def mixtures(self, x: Any) -> tuple[Any, Any]:
        """Return weighted means of x and its partners, and the weights of x."""
        share = self.per_example(x, self._shares)
        weights = like_rows_of(x, share)
        x = tf.cast(x, share.dtype)
        return weights * x + (1 - weights) * self.partners(x), share

    def _shares(self, rows: Any) -> Any:
        """Draw numbers (rows,) from Beta(alpha, alpha).

        Such a number is a / (a + b) with a and b drawn from Gamma(alpha). Their logarithms are
        drawn here, because a and b may be too small for float32: a number from Gamma(alpha) is one
        from Gamma(alpha + 1) times a uniform number to the power of 1 / alpha.
        """
        shape, seed = (2, rows), self.seed_generator
        gamma = keras.random.gamma(shape, self.alpha + 1, seed=seed)
        uniform = 1 - keras.random.uniform(shape, seed=seed)
        log_a, log_b = tf.unstack(tf.math.log(gamma) + tf.math.log(uniform) / self.alpha)
        return tf.sigmoid(log_a - log_b)
