"""The splits of a dataset: arrays of rows, and what networks take from their shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fitx.data import structure

NAMES = ("train", "validation", "test")

PARTS = ("x", "y", "sample_weight")
"""The parts of a split, in the order of a batch."""


@dataclass(frozen=True)
class Split:
    """Rows for training or evaluation; the first axis of every array is the rows.

    Each part is an array, or a dictionary, tuple or list of arrays, at any depth. Lists become
    tuples, and dictionaries are sorted by their keys, which are strings.

    Args:
        x: The inputs of the networks.
        y: The labels; without them, batches are x alone.
        sample_weight: The weight of each row, at least 0; with several outputs, also one array of
            weights for each.
        is_bare: Batches are `x` as it is, even if it is a tuple. Otherwise a tuple without y
            becomes the batch `(x,)`, as in Keras.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    is_bare: bool = False

    def __post_init__(self) -> None:
        """Normalize the structure of each part."""
        for part in PARTS:
            object.__setattr__(self, part, structure.normalized(getattr(self, part)))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.arrays().values())))

    @property
    def parts(self) -> dict[str, Any]:
        """The parts that are set, by name, x first."""
        parts = {part: getattr(self, part) for part in PARTS}
        return {name: value for name, value in parts.items() if value is not None}

    @property
    def batch(self) -> Any:
        """All rows as one batch: x alone, or a tuple of the parts."""
        parts = tuple(self.parts.values())
        is_x = len(parts) == 1 and (self.is_bare or not isinstance(self.x, tuple))
        return parts[0] if is_x else parts

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, such as `x`, or `x['image']` and `x['age']`; x first."""
        parts = self.parts.items()
        return {k: v for name, part in parts for k, v in structure.leaves(part, name)}

    def mapped(self, function: Callable[..., Any], *others: Split) -> Split:
        """Return a split of what a function returns for each array, and those of other splits."""
        changed = {
            name: structure.mapped(function, part, *(other.parts[name] for other in others))
            for name, part in self.parts.items()
        }
        return replace(self, **changed)


Splits = dict[str, Split]
"""'train', and optionally 'validation' and 'test'."""


def rows_text(splits: Splits) -> str:
    """Return the number of rows in all splits as text, such as `740,000 rows`."""
    arrays = (next(iter(split.arrays().values())) for split in splits.values())
    # This is shown before the arrays are checked.
    count = sum(len(x) for x in arrays if isinstance(x, np.ndarray) and x.ndim)
    return f"{count:,} row{'s' * (count != 1)}"


def data_signature(splits: Splits) -> dict[str, Any]:
    """Return the shapes that models take from the data unless the experiment sets them.

    Returns:
        `input_shape` and `image_shape`: the shape of one x, a tuple of ints; of an x of several
        arrays, the same structure of shapes.
    """
    shape = structure.mapped(_row_shape, splits["train"].x)
    return {"input_shape": shape, "image_shape": shape}


def _row_shape(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(side) for side in array.shape[1:])


def are_class_labels(y: np.ndarray) -> bool:
    """Return whether y holds integer class labels, one per row, shaped (n,) or (n, 1)."""
    one_per_row = y.ndim == 1 or y.shape[1:] == (1,)
    return y.dtype.kind in "iu" and one_per_row and y.size > 0 and int(y.min()) >= 0
