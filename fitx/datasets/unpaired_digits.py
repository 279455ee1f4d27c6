"""Digits in two styles, to translate from one to the other without pairs."""

import numpy as np

from fitx.data.splits import Split, Splits
from fitx.datasets import register
from fitx.datasets._digits_file import read_digits, train_and_test_rows


@register
def unpaired_digits() -> Splits:
    """Return the digits of `digits` as they are, and embossed: lit from the upper left.

    x: plain digits, y: embossed ones; both float32 in [0, 1], shape (rows, 8, 8, 1). Of the 718
    rows of 'train', x and y are different digits. Of the 360 rows of 'test', y is the x embossed.
    """
    images, _ = read_digits()
    train, test = train_and_test_rows(len(images))
    half = len(train) // 2
    return {
        "train": Split(images[train[:half]], _embossed(images[train[half : 2 * half]])),
        "test": Split(images[test], _embossed(images[test])),
    }


def _embossed(images: np.ndarray) -> np.ndarray:
    """Return grey images, brighter where the brightness rises from the upper left."""
    shifted = np.pad(images, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :-1, :-1]
    embossed: np.ndarray = (1 + images - shifted) / 2
    return embossed
