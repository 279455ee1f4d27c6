"""The splits of a dataset: arrays of rows, and what networks take from their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Rows for training or evaluation; the first axis of every array is the rows.

    Args:
        x: The inputs of the networks.
        y: The labels; without them, batches are x alone.
        sample_weight: The weight of each row, at least 0.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are set, by name, x first."""
        arrays = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        return {name: array for name, array in arrays.items() if array is not None}


Splits = dict[str, Split]
"""'train', and optionally 'validation' and 'test'."""


def rows_text(splits: Splits) -> str:
    """Return the number of rows in all splits as text, such as `740,000 rows`."""
    arrays = (split.x for split in splits.values())
    # This is shown before the arrays are checked.
    count = sum(len(x) for x in arrays if isinstance(x, np.ndarray) and x.ndim)
    return f"{count:,} row{'s' * (count != 1)}"


def data_signature(splits: Splits) -> dict[str, Any]:
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
