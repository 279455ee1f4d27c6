"""What the data tells the networks about themselves."""

from typing import Any

import numpy as np

from fitx.data.splits import Splits


def facts(splits: Splits) -> dict[str, Any]:
    """Return the shapes that models take from the data unless the experiment sets them.

    Returns:
        `input_shape` and `image_shape`: the shape of one x, a tuple of ints.
    """
    shape = tuple(int(side) for side in splits["train"].x.shape[1:])
    return {"input_shape": shape, "image_shape": shape}


def are_class_labels(y: np.ndarray) -> bool:
    """Return whether y holds integer class labels, one per row, shaped (n,) or (n, 1)."""
    one_per_row = y.ndim == 1 or y.shape[1:] == (1,)
    return y.dtype.kind in "iu" and one_per_row and y.size > 0 and int(y.min()) >= 0
