"""What the data tells the networks about themselves."""

from typing import Any

import numpy as np

from fitx.data.splits import Splits


def facts(splits: Splits) -> dict[str, Any]:
    """Return the arguments that models take from the data unless the experiment sets them.

    Class labels are integers, one per row, none of them negative.

    Returns:
        `input_shape` and `image_shape`: the shape of one x, a tuple of ints.
        `outputs`: the number of classes (the greatest label of any split + 1); without class
        labels the last dimension of y, and 1 for a y that is a vector or not there.
        `output_activation`: 'softmax' for class labels, else 'linear'.
    """
    shape = tuple(int(side) for side in splits["train"].x.shape[1:])
    targets = [split.y for split in splits.values() if split.y is not None]
    labelled = bool(targets) and all(are_class_labels(y) for y in targets)
    return {
        "input_shape": shape,
        "image_shape": shape,
        "outputs": max(int(y.max()) for y in targets) + 1 if labelled else _width(splits),
        "output_activation": "softmax" if labelled else "linear",
    }


def are_class_labels(y: np.ndarray) -> bool:
    """Return whether y holds integer class labels, one per row, shaped (n,) or (n, 1)."""
    one_per_row = y.ndim == 1 or y.shape[1:] == (1,)
    return y.dtype.kind in "iu" and one_per_row and y.size > 0 and int(y.min()) >= 0


def _width(splits: Splits) -> int:
    y = splits["train"].y
    return 1 if y is None or y.ndim == 1 else int(y.shape[-1])
