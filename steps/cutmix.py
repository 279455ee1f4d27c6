"""CutMix: supervised training on images with a box of another image."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.steps import register
from fitx.steps._pair_mixing import PairMixing


@register
class CutMix(PairMixing):
    """Train one network on images with a box of another image, with the losses of both labels.

    Batches: `(x, y)` or `(x, y, sample_weight)`, with images `x` (batch, height, width, channels)
    and labels of any form that the experiment's loss takes. Each image gets a box of the next image
    of the batch, the last one a box of the first. A box has the image's aspect ratio. Its area is
    uniform between nothing and the whole image, its center uniform in the image, and what lies
    outside the image is cut off. The loss is that of both labels, weighted by the shares of
    pixels. Evaluation does not mix.

    Logged is `loss`, a mean over examples. In training, metrics compare predictions with the label
    of the larger share.

    After Yun, Han, Oh, Chun, Choe and Yoo 2019, "CutMix: Regularization Strategy to Train Strong
    Classifiers with Localizable Features", arXiv:1905.04899, with alpha = 1.

    Traps that it avoids: labels weighted by the area of the box before its edges are cut off; one
    box for a whole batch; losses of layers that are added once for each label; and boxes that
    repeat every epoch.

    Args:
        model: Network from images to predictions.
        seed: Seed of the boxes; by default the experiment's.
    """

    USES = ("loss", "metrics")
    LOGS = ("loss",)

    def __init__(self, model: keras.Model, *, seed: int) -> None:
        super().__init__(model)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def mixtures(self, x: Any) -> tuple[Any, Any]:
        """Return images with boxes of their partners, and the share of pixels that they keep."""

        def draw(rows: Any) -> Any:
            return keras.random.uniform((rows, 3), seed=self.seed_generator)

        area, row, column = tf.unstack(self.per_example(x, draw), axis=1)
        side = tf.sqrt(area)
        in_rows = _pixels(row, side, x.shape[1])[:, :, None]
        in_columns = _pixels(column, side, x.shape[2])[:, None, :]
        in_box = (in_rows & in_columns)[..., None]
        share = 1 - tf.reduce_mean(tf.cast(in_box, area.dtype), axis=(1, 2, 3))
        return tf.where(in_box, self.partners(x), x), share


def _pixels(center: Any, width: Any, length: int) -> Any:
    """Return which of the pixels of an axis lie in an interval, as booleans (batch, length).

    Args:
        center: Centers of the intervals (batch,), from 0 to 1.
        width: Widths of the intervals (batch,), from 0 to 1.
        length: Number of pixels of the axis.
    """
    pixels = (tf.range(length, dtype=center.dtype) + 0.5) / length
    return tf.abs(pixels - center[:, None]) < width[:, None] / 2
