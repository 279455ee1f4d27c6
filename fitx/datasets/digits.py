"""Real handwritten digits, shipped inside the package: no network is needed."""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from fitx.data import images
from fitx.data.splits import Split, Splits
from fitx.datasets import register
from fitx.datasets._digits_file import read_digits, train_and_test_rows


@register
def digits(
    *,
    image_size: Annotated[int, Ge(8)] | None = None,
    rare: dict[Annotated[int, Ge(0), Le(9)], Annotated[float, Gt(0), Le(1)]] | None = None,
) -> Splits:
    """Return the 1,797 handwritten digits of the UCI optical recognition set.

    x: float32 in [0, 1], shape (rows, 8, 8, 1). y: int32 from 0 to 9, shape (rows,).
    1,437 rows are 'train' and 360 'test', the same ones for any seed.
    By E. Alpaydin and C. Kaynak, CC BY 4.0, https://archive.ics.uci.edu/dataset/80

    Args:
        image_size: Height and width to scale the images to; by default they are 8x8.
        rare: For each digit, the share of its training rows to keep, which makes the data
            imbalanced; at least one row is kept, and test keeps all.
    """
    x, y = read_digits()
    x = images.scale(x, image_size)
    train, test = train_and_test_rows(len(x))
    for digit, share in (rare or {}).items():
        rows = train[y[train] == digit]
        left_out = rows[math.ceil(share * len(rows)) :]
        train = train[~np.isin(train, left_out)]
    return {"train": Split(x[train], y[train]), "test": Split(x[test], y[test])}
